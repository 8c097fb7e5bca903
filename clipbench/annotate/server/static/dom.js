// Elements are made here and nowhere else. Texts become text nodes: markup in a caption, a prompt or a file's name is shown, never read.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.startsWith("aria") && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const KEY_NAMES = { Enter: "Enter", Escape: "Esc", Backspace: "⌫" };

// A button that a key presses, too. `key` is compared with KeyboardEvent.key in lower case.
export function button(label, key, action, properties = {}) {
  const hint = key ? el("kbd", { "aria-hidden": "true" }, KEY_NAMES[key] ?? key.toUpperCase()) : null;
  return el(
    "button",
    {
      type: "button",
      onclick: action,
      "data-key": key ? key.toLowerCase() : null,
      "aria-keyshortcuts": key ? KEY_NAMES[key] ?? key.toUpperCase() : null,
      ...properties,
    },
    el("span", {}, label),
    hint,
  );
}

// A caption with its keyword marked. Places count code points, as Python does.
export function marked(text, start, end) {
  if (!(end > start)) return [text];
  const signs = Array.from(text);
  const part = (from, to) => signs.slice(from, to).join("");
  return [part(0, start), el("mark", {}, part(start, end)), part(end)];
}

export function byId(id) {
  return document.getElementById(id);
}

export function say(text) {
  byId("status").textContent = text;
}

export function complain(text) {
  const box = byId("problem");
  box.textContent = text ?? "";
  box.hidden = !text;
}

// What is left, said as people say it.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return "less than a second left";
  if (seconds < 90) return `about ${Math.ceil(seconds)} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${Math.round(seconds / 3600)} h left`;
}
