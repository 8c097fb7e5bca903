// The frame around the views: who annotates, what is shown, keys, progress.

import { currentAnnotator, get, rememberAnnotator } from "./api.js";
import { annotate } from "./annotate.js";
import { agreement, done, review } from "./review.js";
import { button, byId, complain, el, say } from "./dom.js";

const VIEWS = { annotate, review, done, agreement };
let shown = 0; // counts views, so that an answer that comes late does not draw over the view after

// What a view may use: `show` draws, if the view is still the one that is shown.
function stage() {
  const number = ++shown;
  const current = () => number === shown;
  return {
    current,
    show(...elements) {
      if (!current()) return;
      byId("main").replaceChildren(...elements);
      const heading = byId("main").querySelector("h2");
      if (heading) {
        heading.tabIndex = -1;
        heading.focus({ preventScroll: true });
        say(heading.textContent);
      }
      complain();
      refresh();
    },
    // Do what a button asks; a refusal is shown and nothing is lost.
    async attempt(action) {
      complain();
      const buttons = [...byId("main").querySelectorAll("button[data-key]:not([data-free])")].filter((each) => !each.disabled);
      buttons.forEach((each) => (each.disabled = true));
      try {
        return await action();
      } catch (error) {
        if (current()) complain(error.message);
        return undefined;
      } finally {
        buttons.forEach((each) => (each.disabled = false));
      }
    },
  };
}

export async function refresh() {
  const facts = await get("/api/set").catch(() => null);
  if (!facts) return;
  byId("concept").textContent = facts.concept;
  if (facts.photographs === undefined) return; // nobody has given a name yet
  byId("to-review").textContent = facts.to_review || "";
  byId("finished").textContent = facts.finished || "";
  byId("progress").hidden = !currentAnnotator();
  byId("progress-bar").max = Math.max(1, facts.photographs);
  byId("progress-bar").value = facts.photographs - facts.left;
  byId("progress-text").textContent = `${facts.finished === 1 ? "1 pair" : `${facts.finished} pairs`} · ${facts.left} of ${facts.photographs} photographs left`;
}

function askName() {
  const stageNow = stage();
  const field = el("input", { type: "text", id: "annotator", required: true, maxLength: 80, autocomplete: "nickname", value: currentAnnotator() });
  const form = el(
    "form",
    {
      onsubmit(event) {
        event.preventDefault();
        if (!field.value.trim()) return;
        rememberAnnotator(field.value.trim());
        route();
      },
    },
    el("div", {}, el("label", { htmlFor: "annotator" }, "Your name"), field),
    el("p", { className: "soft" }, "It is kept with every pair you make, and tells your work from that of the others."),
    el("button", { className: "primary" }, "Start"),
  );
  byId("views").hidden = byId("who").hidden = byId("progress").hidden = true;
  stageNow.show(el("div", { className: "card hello" }, el("h2", {}, "Who is annotating?"), form));
  field.focus();
}

function route() {
  if (!currentAnnotator()) return askName();
  byId("views").hidden = byId("who").hidden = false;
  byId("name").textContent = currentAnnotator();
  const [view, id] = location.hash.slice(1).split("/");
  const name = Object.hasOwn(VIEWS, view) ? view : "annotate";
  for (const link of byId("views").children) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const stageNow = stage();
  return stageNow.attempt(() => VIEWS[name](stageNow, id ? decodeURIComponent(id) : null));
}

// Single keys press the button that names them, unless a text is being edited or the reader has switched them off.
function onKey(event) {
  const { target } = event;
  const typing = target.matches("input[type=text], textarea");
  const key = event.key.toLowerCase();
  if (document.querySelector("dialog[open]") || event.altKey || event.isComposing) return;
  if (event.ctrlKey || event.metaKey) {
    if (typing || key !== "z") return;
  } else {
    if (typing && key !== "enter" && key !== "escape") return;
    if (typing && key === "enter" && event.shiftKey) return;
    if (typing && key === "escape") {
      target.blur();
      byId("main").querySelector("h2")?.focus();
      event.preventDefault();
      return;
    }
    if (key === "enter" && target.matches("button, a, summary, select")) return;
    if (key.length === 1 && localStorage.getItem("keys") === "off") return;
    if (key === "?") return openHelp();
  }
  const match = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((each) => !each.disabled && each.offsetParent);
  if (match && !event.repeat) {
    event.preventDefault();
    match.click();
  }
}

function openHelp() {
  const keys = [...document.querySelectorAll("main [data-key]")].filter((each) => each.offsetParent);
  const rows = keys.map((each) => [el("dt", {}, el("kbd", {}, each.getAttribute("aria-keyshortcuts"))), el("dd", {}, each.getAttribute("aria-label") ?? each.firstElementChild.textContent)]);
  const single = el("input", {
    type: "checkbox", id: "single", checked: localStorage.getItem("keys") !== "off",
    onchange: (event) => localStorage.setItem("keys", event.target.checked ? "on" : "off"),
  });
  byId("help").replaceChildren(
    el("h2", { id: "help-title" }, "Keys of this step"),
    el("dl", { className: "keys" }, ...rows.flat()),
    el("p", { className: "soft" }, "Enter goes on, Esc leaves a text field. On the mask, arrow keys move the brush and Space paints."),
    el("p", {}, single, " ", el("label", { htmlFor: "single", className: "plain" }, "Single letters and digits press buttons")),
    button("Close", null, () => byId("help").close(), { className: "primary" }),
  );
  byId("help").showModal();
}

byId("rename").addEventListener("click", askName);
byId("help-open").addEventListener("click", openHelp);
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", route);
history.replaceState(null, "", `/${location.hash}`); // the token is in the cookie now, and stays out of the history
route();
