// Starts the parts of the page, and follows its address.
import { element } from "./dom.js";
import { startBreakdown } from "./breakdown.js";
import { followAddress } from "./choice.js";
import { startGallery } from "./gallery.js";
import { startTable } from "./table.js";
import { startTradeoff } from "./tradeoff.js";

// Where a table or plot is wider than the screen, say so until its end has been reached.
function hintScroll(box) {
  const hint = element("p", { className: "hint", ariaHidden: "true", textContent: "more to the right →" });
  const update = () => { hint.hidden = box.scrollWidth - box.clientWidth - box.scrollLeft < 8; };
  box.before(hint);
  box.addEventListener("scroll", update);
  const observer = new ResizeObserver(update);
  for (const each of [box, box.firstElementChild]) observer.observe(each);
}

startTable();
startTradeoff();
startGallery();
startBreakdown();
addEventListener("hashchange", followAddress);
followAddress();
for (const box of document.querySelectorAll(".scroll")) hintScroll(box);
