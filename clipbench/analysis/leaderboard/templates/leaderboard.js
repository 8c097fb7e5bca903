"use strict";
// Names and texts come from result files: they enter the page as text nodes and attributes only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const percent = (value) => (100 * value).toFixed(1) + " %";

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "heat") made.style.setProperty("--heat", Math.max(0, 100 * value).toFixed(0) + "%");
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function fill(select, options, chosen) {
  // options: [value, text, group]; groups become optgroups in the order they come
  const groups = new Map();
  for (const [value, text, group] of options) {
    if (group && !groups.has(group)) groups.set(group, select.appendChild(element("optgroup", { label: group })));
    (groups.get(group) || select).append(element("option", { value, textContent: text }));
  }
  if (chosen !== undefined) select.value = chosen;
}

/* The table of scores: sorted by any column, filtered by names. */
const board = $("board");
const rows = [...board.tBodies[0].rows];

function sortBy(header) {
  const column = header.cellIndex;
  const number = column > 0;
  const first = number ? "descending" : "ascending";
  const second = number ? "ascending" : "descending";
  const order = header.getAttribute("aria-sort") === first ? second : first;
  for (const other of header.parentNode.cells) other.setAttribute("aria-sort", other === header ? order : "none");
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => (number ? row.cells[column].dataset.value : row.dataset.model);
  rows.sort((a, b) => {
    const [left, right] = [key(a), key(b)];
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
    return sign * (number ? left - right : left.localeCompare(right, undefined, { numeric: true }));
  });
  board.tBodies[0].append(...rows);
  $("status").textContent = `Sorted by ${header.dataset.task || "model"}, ${order}.`;
}

function filter() {
  const models = $("filter-models").value.toLowerCase();
  const tasks = $("filter-tasks").value.toLowerCase();
  let shownRows = 0;
  for (const row of rows) {
    const published = row.classList.contains("published") && !$("show-published").checked;
    row.hidden = published || !row.dataset.model.toLowerCase().includes(models);
    shownRows += !row.hidden;
  }
  let shownTasks = 0;
  for (const header of [...board.tHead.rows[0].cells].slice(1)) {
    const hidden = !header.dataset.task.toLowerCase().includes(tasks);
    for (const row of board.rows) row.cells[header.cellIndex].hidden = hidden;
    shownTasks += !hidden;
  }
  $("status").textContent = `${shownRows} of ${rows.length} models, ${shownTasks} columns.`;
}

for (const header of board.tHead.rows[0].cells) header.firstElementChild.addEventListener("click", () => sortBy(header));
for (const id of ["filter-models", "filter-tasks", "show-published"]) $(id).addEventListener("input", filter);

/* The plot: one task across, one up. */
const taskNames = Object.keys(data.tasks);
const taskOptions = taskNames.map((name) => [name, name, data.tasks[name].concept]);
const BOX = { left: 66, right: 625, top: 36, bottom: 380 };

function shape(tag, attributes, parent = $("plot")) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return parent.appendChild(made);
}

function scale(values, from, to) {
  const ends = values.flatMap(({ value, stderr }) => [value - 1.96 * (stderr || 0), value + 1.96 * (stderr || 0)]);
  const margin = Math.max(0.02, 0.08 * (Math.max(...ends) - Math.min(...ends)));
  const low = Math.max(0, Math.min(...ends) - margin);
  const high = Math.min(1, Math.max(...ends) + margin);
  const place = (value) => from + ((to - from) * (Math.min(high, Math.max(low, value)) - low)) / (high - low);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((size) => (high - low) / size <= 6) || 0.2;
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high + 1e-9; index += 1) ticks.push(index * step);
  return { place, ticks };
}

function paretoFront(points) {
  const beaten = (a) => points.some((b) => b.x.value >= a.x.value && b.y.value >= a.y.value && (b.x.value > a.x.value || b.y.value > a.y.value));
  return points.filter((point) => !beaten(point)).sort((a, b) => a.x.value - b.x.value);
}

function drawPlot() {
  const [across, up] = [$("plot-x").value, $("plot-y").value];
  const plot = $("plot");
  plot.replaceChildren($("plot-title"));
  $("plot-list").replaceChildren();
  const points = data.models
    .map((name, model) => ({ name, model, x: data.tasks[across].scores[model], y: data.tasks[up].scores[model] }))
    .filter((point) => point.x && point.y);
  $("plot-title").textContent = `${up} against ${across}, ${points.length} models`;
  if (!points.length) {
    $("plot-list").append(element("li", { textContent: "No model has both scores." }));
    return;
  }
  const floors = (task) => (data.tasks[task].blind === null ? [] : [{ value: data.tasks[task].blind }]);
  const x = scale([...points.map((point) => point.x), ...floors(across)], BOX.left, BOX.right);
  const y = scale([...points.map((point) => point.y), ...floors(up)], BOX.bottom, BOX.top);
  for (const tick of x.ticks) {
    shape("line", { class: "grid", x1: x.place(tick), x2: x.place(tick), y1: BOX.top, y2: BOX.bottom });
    shape("text", { x: x.place(tick), y: BOX.bottom + 24, "text-anchor": "middle" }).textContent = tick.toFixed(2);
  }
  for (const tick of y.ticks) {
    shape("line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y.place(tick), y2: y.place(tick) });
    shape("text", { x: BOX.left - 8, y: y.place(tick) + 5, "text-anchor": "end" }).textContent = tick.toFixed(2);
  }
  shape("path", { class: "axis", fill: "none", d: `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}` });
  for (const { value } of floors(across)) shape("line", { class: "blind", x1: x.place(value), x2: x.place(value), y1: BOX.top, y2: BOX.bottom });
  for (const { value } of floors(up)) shape("line", { class: "blind", x1: BOX.left, x2: BOX.right, y1: y.place(value), y2: y.place(value) });
  shape("text", { x: BOX.right, y: 430, "text-anchor": "end" }).textContent = `${across}, ${data.tasks[across].metric} →`;
  shape("text", { x: 4, y: 20 }).textContent = `↑ ${up}, ${data.tasks[up].metric}`;
  const front = paretoFront(points.filter(({ x, y }) => !x.apart && !y.apart));
  shape("polyline", { class: "front", points: front.map((point) => `${x.place(point.x.value)},${y.place(point.y.value)}`).join(" ") });
  points.forEach((point, index) => drawPoint(point, index + 1, x, y, front.includes(point)));
}

function drawPoint(point, number, x, y, onFront) {
  const quoted = rows.some((row) => row.dataset.model === point.name && row.classList.contains("published"));
  const [cx, cy] = [x.place(point.x.value), y.place(point.y.value)];
  const group = shape("g", { class: `point ${onFront ? "on-front" : ""} ${quoted ? "quoted" : ""}` });
  const reach = (score) => 1.96 * (score.stderr || 0);
  const [rx, ry] = [reach(point.x), reach(point.y)];
  shape("line", { class: "whisker", x1: x.place(point.x.value - rx), x2: x.place(point.x.value + rx), y1: cy, y2: cy }, group);
  shape("line", { class: "whisker", x1: cx, x2: cx, y1: y.place(point.y.value - ry), y2: y.place(point.y.value + ry) }, group);
  shape("circle", { cx, cy, r: 9 }, group);
  shape("text", { class: "number", x: cx, y: cy + 4, "text-anchor": "middle" }, group).textContent = number;
  shape("title", {}, group).textContent = point.name;
  const text = `${point.name}: ${percent(point.x.value)} across, ${percent(point.y.value)} up${onFront ? ", on the Pareto front" : ""}${point.x.apart || point.y.apart ? ", set apart: does not compare with the rest" : ""}`;
  $("plot-list").append(element("li", { textContent: text, className: onFront ? "on-front" : "" }));
}

const retrieval = taskNames.find((name) => data.tasks[name].whole_set) || taskNames[0];
const concept = taskNames.find((name) => data.tasks[name].concept !== data.tasks[name].task_type && !data.tasks[name].whole_set) || taskNames.find((name) => name !== retrieval);
if (taskNames.length > 1) {
  fill($("plot-x"), taskOptions, retrieval);
  fill($("plot-y"), taskOptions, concept === retrieval ? taskNames[1] : concept);
  for (const id of ["plot-x", "plot-y"]) $(id).addEventListener("input", drawPlot);
  drawPlot();
} else $("tradeoff").hidden = true;
