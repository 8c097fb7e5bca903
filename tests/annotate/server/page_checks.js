// What is wrong with the page as it is shown: texts of low contrast (WCAG 2, AA), and things without a name.
((contrast, unnamed) => [...contrast, ...unnamed])(
(() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = color; pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; };
  const light = (rgb) => rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (element) => { for (; element; element = element.parentElement) { const [r, g, b, a] = rgba(getComputedStyle(element).backgroundColor); if (a === 255) return [r, g, b]; } return rgba("Canvas").slice(0, 3); };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility() || element.closest("button:disabled, [aria-hidden], #status, .skip")) continue;
    const [a, b] = [light(rgba(getComputedStyle(element).color).slice(0, 3)), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${node.textContent.trim()}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return low;
})(),
[...document.querySelectorAll("button, input, textarea, a, img, canvas, progress")]
  .filter((each) => each.checkVisibility() && !(each.getAttribute("aria-label") || each.alt || each.textContent.trim() || each.labels?.length || each.closest("[aria-label]")))
  .map((each) => each.outerHTML),
)
