// SVG shapes, axes, labels that do not overlap, and downloads.
import { element } from "./dom.js";

export function shape(parent, tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}

// A linear axis over values and their intervals: where a share lies, and at which shares there are ticks.
export function axis(scores, from, to) {
  const ends = scores.flatMap(({ value, reach }) => [value - (reach || 0), value + (reach || 0)]);
  const margin = Math.max(0.02, 0.08 * (Math.max(...ends) - Math.min(...ends)));
  const [low, high] = [Math.max(0, Math.min(...ends) - margin), Math.min(1, Math.max(...ends) + margin)];
  const place = (value) => from + ((to - from) * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((size) => (high - low) / size <= 6) || 0.2;
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9; index += 1) ticks.push(index * step);
  return { place, ticks };
}

const overlap = (a, b) => Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

// Put a label next to each point, where it covers the least of other points and labels; a line leads to those farther off.
export function placeLabels(parent, points, obstacles, box) {
  const taken = [...obstacles];
  for (const { x, y, text } of points) {
    const label = shape(parent, "text", { class: "label" }, text);
    const { width, height } = label.getBBox();
    const spots = [12, 24, 40, 60].flatMap((far) => [[far, 0], [-far - width, 0], [-width / 2, -far - height / 2], [-width / 2, far + height / 2],
      [far * 0.7, -far], [far * 0.7, far], [-width - far * 0.7, -far], [-width - far * 0.7, far]]
      .map(([dx, dy]) => ({ left: x + dx, right: x + dx + width, top: y + dy - height / 2, bottom: y + dy + height / 2, far })));
    const cost = (spot) => spot.far * 2 + taken.reduce((sum, other) => sum + overlap(spot, other), 0) * 3
      + (width * height - overlap(spot, box)) * 10;
    const best = spots.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    label.setAttribute("x", best.left);
    label.setAttribute("y", best.bottom - height * 0.22);
    if (best.far > 24) {
      const [tx, ty] = [Math.min(best.right, Math.max(best.left, x)), y < best.top ? best.top : y > best.bottom ? best.bottom : y];
      shape(parent, "line", { class: "leader", x1: x, y1: y, x2: tx, y2: ty });
    }
    taken.push(best);
  }
}

const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "font-family", "opacity"];

// Colors such as oklch() are not known to all programs that read SVG: the canvas turns them into plain ones.
function plainColor(color) {
  const context = element("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data;
  return alpha ? `rgb(${red}, ${green}, ${blue})` : "none";
}

// A chart as a file of its own: with the styles that the page gives it, and the page's background.
export function svgText(svg) {
  const copy = svg.cloneNode(true);
  const [originals, copies] = [[...svg.querySelectorAll("*")], [...copy.querySelectorAll("*")]];
  originals.forEach((original, index) => {
    const style = getComputedStyle(original);
    for (const name of KEPT) {
      const value = style.getPropertyValue(name);
      if (value && value !== "none") copies[index].setAttribute(name, ["fill", "stroke"].includes(name) ? plainColor(value) : value);
      else if (name === "fill") copies[index].setAttribute(name, "none");
    }
    copies[index].removeAttribute("class");
    copies[index].removeAttribute("style");
  });
  const { width, height } = svg.viewBox.baseVal;
  const background = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ width, height, fill: plainColor(getComputedStyle(document.body).backgroundColor) })) background.setAttribute(name, value);
  copy.prepend(background);
  for (const [name, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height })) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}

export async function pngBlob(svg, factor = 2) {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = element("canvas", { width: factor * image.width, height: factor * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

export function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
