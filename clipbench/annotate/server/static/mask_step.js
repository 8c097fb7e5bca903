// The mask: found by a prompt, then mended by hand.

import { postMask } from "./api.js";
import { jobBox, promptField, usedCaption } from "./parts.js";
import { button, complain, el, say } from "./dom.js";
import { MaskEditor } from "./mask.js";

const TOOLS = [["brush", "Brush", "b"], ["eraser", "Eraser", "r"], ["box", "Box", "d"], ["stroke", "Stroke", "t"]];
const CHANGES = [["widen_x", "Wider", "w"], ["widen_y", "Taller", "h"], ["grow", "Grow", "g"], ["shrink", "Shrink", "k"]];
const HINTS = {
  brush: "Paint what is to change.",
  eraser: "Wipe away what is to stay.",
  box: "Drag a box around the object: what is in it becomes the mask.",
  stroke: "Draw a line through an object: it is added to the mask.",
};

export async function maskStep(parts) {
  const { item, path, stage, send, sendMask, back } = parts;
  const prompt = promptField("Masking prompt", "mask-prompt", item.mask_prompt);
  const amount = el("p", { className: "facts", "aria-live": "polite" });
  const hint = el("p", { className: "soft" });
  const work = (action) => action().catch((error) => stage.current() && complain(error.message));
  const editor = new MaskEditor(item.photograph, () => measure(), (kind, blob) => work(() => postMask(`${path}/refine/${kind}`, blob)));
  const change = (name) => work(() => editor.replace(name, async () => postMask(`${path}/change/${name}`, await editor.png())));
  const accept = button("Use this mask", "Enter", async () => sendMask(await editor.png(), new URLSearchParams({ edits: editor.edits.join(), prompt: prompt.field.value })), { className: "primary" });
  const find = () => send("segment", { prompt: prompt.field.value });
  const again = button("Find again", "f", find);
  const first = button("Find it", "Enter", find, { className: "primary" });
  const finding = () => !item.mask && editor.history.length === 0;

  function measure() {
    const share = editor.share();
    amount.textContent = share ? `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} % of the photograph is masked.` : "Nothing is masked yet.";
    accept.hidden = again.hidden = finding();
    first.hidden = !finding() || Boolean(item.job);
    undo.disabled = !editor.history.length;
  }

  const pressed = (name) => {
    editor.tool = name;
    tools.forEach((each, number) => each.setAttribute("aria-pressed", String(TOOLS[number][0] === name)));
    hint.textContent = HINTS[name];
    editor.draw();
  };
  const tools = TOOLS.map(([name, label, key]) => button(label, key, () => {
    pressed(name);
    editor.canvas.focus({ preventScroll: true });
    say(HINTS[name]);
  }));
  const changes = CHANGES.map(([name, label, key]) => button(label, key, () => change(name)));
  const clear = button("Clear", "c", () => editor.clear());
  const thinner = button("−", ",", () => editor.resizeBrush(1 / 1.3), { "aria-label": "Thinner brush", title: "Thinner brush" });
  const thicker = button("+", ".", () => editor.resizeBrush(1.3), { "aria-label": "Thicker brush", title: "Thicker brush" });
  const undo = button("Undo", "z", () => editor.undo());
  pressed("brush");
  const running = item.job ? jobBox(parts, item.job) : null;
  if (item.mask) await editor.load(await (await fetch(item.mask)).blob()); // before anything can be pressed
  measure();
  return {
    view: [
      el("div", { className: "tools", role: "toolbar", "aria-label": "By hand" },
        el("span", {}, ...tools), el("span", {}, thinner, thicker), el("span", {}, ...changes), el("span", {}, undo, clear)),
      editor.element,
      hint,
    ],
    card: [
      el("h2", {}, finding() ? "What is to change?" : "Does the mask cover it?"),
      usedCaption(item),
      prompt.element,
      el("div", { className: "row" }, first, again, button("In the middle", "m", () => editor.findMiddle(), { title: "The object in the middle of the photograph" })),
      item.note ? el("p", { className: "note bad" }, item.note) : null,
      running?.box,
      amount,
      el("div", { className: "row" }, accept, back("photograph")),
    ],
    start: () => running?.run(),
  };
}
