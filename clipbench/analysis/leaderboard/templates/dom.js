// The page's data, and small helpers to build elements.
// Names and texts come from result files: they enter the page as text nodes and attributes only, never as markup.
export const data = JSON.parse(document.getElementById("data").textContent);
export const $ = (id) => document.getElementById(id);
export const taskNames = Object.keys(data.tasks);
export const percent = (value) => (100 * value).toFixed(1).replace("-", "−");
export const interval = (value, reach) => (reach === null ? percent(value) : `${percent(value)} ± ${percent(reach)}`);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") for (const [key, each] of Object.entries(value)) made.style.setProperty(key, each);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function fill(select, options, chosen) {
  // options: [value, text, group]; groups become optgroups in the order they come
  const groups = new Map();
  select.replaceChildren();
  for (const [value, text, group] of options) {
    if (group && !groups.has(group)) groups.set(group, select.appendChild(element("optgroup", { label: group })));
    (groups.get(group) || select).append(element("option", { value, textContent: text }));
  }
  if (chosen !== undefined && options.some(([value]) => String(value) === String(chosen))) select.value = chosen;
}

export const taskOptions = (names) => names.map((name) => [name, data.tasks[name].title, data.tasks[name].dataset]);

// A value with its 95 % interval on a line from 0 to 100, with ticks at chance and at the best rule that sees no image.
export function track({ value, low, high, chance = null, blind = null }) {
  const at = (share) => `${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}%`;
  const tick = (kind, share) => (share === null ? null : element("u", { className: kind, style: { left: at(share) } }));
  return element("span", { className: "track", ariaHidden: "true" },
    tick("chance", chance), tick("blind", blind),
    low === null ? null : element("i", { style: { left: at(low), right: `${(100 - 100 * Math.min(1, high)).toFixed(1)}%` } }),
    element("b", { style: { left: at(value) } }));
}

// Models have one color each, as far apart as can be; weights between two models have the fine-tuned one's.
const families = data.models.map((model, index) => model.finetuned ?? index);
const ownColors = [...new Set(families)].sort((a, b) => a - b);
export const hue = (model) => Math.round((360 * ownColors.indexOf(families[model])) / ownColors.length + 255) % 360;
export const modelName = (model) => data.models[model].short;
export const dot = (model) => element("span", { className: "dot", style: { "--hue": hue(model) }, ariaHidden: "true" });
