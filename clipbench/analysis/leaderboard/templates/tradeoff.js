// The plot: one task across, one up; arrows from a model to what it was fine-tuned to, through the weights between.
import { $, data, fill, hue, interval, modelName, taskNames, taskOptions } from "./dom.js";
import { axis, download, placeLabels, pngBlob, shape, svgText } from "./chart.js";
import { onChoice } from "./choice.js";

const BOX = { left: 60, right: 740, top: 40, bottom: 400 };

function paretoFront(points) {
  const beaten = (a) => points.some((b) => b.x.value >= a.x.value && b.y.value >= a.y.value && (b.x.value > a.x.value || b.y.value > a.y.value));
  return points.filter((point) => !beaten(point)).sort((a, b) => a.x.value - b.x.value);
}

function drawAxes(plot, x, y, across, up) {
  for (const tick of x.ticks) {
    shape(plot, "line", { class: "grid", x1: x.place(tick), x2: x.place(tick), y1: BOX.top, y2: BOX.bottom });
    shape(plot, "text", { x: x.place(tick), y: BOX.bottom + 22, "text-anchor": "middle" }, (100 * tick).toFixed(0));
  }
  for (const tick of y.ticks) {
    shape(plot, "line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y.place(tick), y2: y.place(tick) });
    shape(plot, "text", { x: BOX.left - 8, y: y.place(tick) + 5, "text-anchor": "end" }, (100 * tick).toFixed(0));
  }
  shape(plot, "path", { class: "axis", d: `M${BOX.left} ${BOX.top}V${BOX.bottom}H${BOX.right}` });
  const axisTitle = (task) => `${task.title}, ${task.metric} (%)`;
  shape(plot, "text", { x: BOX.right, y: BOX.bottom + 46, "text-anchor": "end" }, `${axisTitle(across)} →`);
  shape(plot, "text", { x: 4, y: 20 }, `↑ ${axisTitle(up)}`);
  if (across.blind !== null) shape(plot, "line", { class: "blind", x1: x.place(across.blind), x2: x.place(across.blind), y1: BOX.top, y2: BOX.bottom });
  if (up.blind !== null) shape(plot, "line", { class: "blind", x1: BOX.left, x2: BOX.right, y1: y.place(up.blind), y2: y.place(up.blind) });
}

// From each model to its fine-tuned version; where weights between the two were scored, through them.
function arrows(points) {
  const at = new Map(points.map((point) => [point.model, point]));
  return points.filter(({ model }) => data.models[model].alpha === null && at.has(data.models[model].base)).map((tuned) => {
    const between = points.filter(({ model }) => data.models[model].finetuned === tuned.model && data.models[model].alpha !== null);
    between.sort((a, b) => data.models[a.model].alpha - data.models[b.model].alpha);
    return { model: tuned.model, way: [at.get(data.models[tuned.model].base), ...between, tuned] };
  });
}

function drawArrow(plot, { model, way }) {
  const [before, end] = way.slice(-2);
  const length = Math.hypot(end.cx - before.cx, end.cy - before.cy) || 1;
  const [ux, uy] = [(end.cx - before.cx) / length, (end.cy - before.cy) / length];
  const [tx, ty] = [end.cx - 8 * ux, end.cy - 8 * uy]; // the tip is at the point's edge
  const style = `--hue:${hue(model)}`;
  shape(plot, "polyline", { class: "arrow", points: [...way.slice(0, -1).map(({ cx, cy }) => `${cx},${cy}`), `${tx - 8 * ux},${ty - 8 * uy}`].join(" "), style });
  shape(plot, "path", { class: "head", d: `M${tx} ${ty}L${tx - 12 * ux - 5 * uy} ${ty - 12 * uy + 5 * ux}L${tx - 12 * ux + 5 * uy} ${ty - 12 * uy - 5 * ux}z`, style });
}

// What labels should not cover: points with their whiskers, and arrows, as small boxes along them.
function obstacles(points, drawn) {
  const steps = [...Array(21).keys()].map((step) => step / 20);
  const along = drawn.flatMap(({ way }) => way.slice(1).flatMap((to, index) => steps.map((share) => ({
    x: way[index].cx + share * (to.cx - way[index].cx), y: way[index].cy + share * (to.cy - way[index].cy), rx: 4, ry: 4 }))));
  const boxes = [...along, ...points.flatMap(({ cx, cy, rx, ry }) => [{ x: cx, y: cy, rx: 8, ry: 8 }, { x: cx, y: cy, rx, ry: 2 }, { x: cx, y: cy, rx: 2, ry }])];
  return boxes.map(({ x, y, rx, ry }) => ({ left: x - rx, right: x + rx, top: y - ry, bottom: y + ry }));
}

function drawPoint(plot, { model, x, y, cx, cy, rx, ry }) {
  const group = shape(plot, "g", { class: `point ${data.models[model].published ? "quoted" : ""}`, style: `--hue:${hue(model)}` });
  shape(group, "line", { class: "whisker", x1: cx - rx, x2: cx + rx, y1: cy, y2: cy });
  shape(group, "line", { class: "whisker", x1: cx, x2: cx, y1: cy - ry, y2: cy + ry });
  shape(group, "circle", { cx, cy, r: 6 });
  shape(group, "title", {}, `${data.models[model].label}: ${interval(x.value, x.reach)} across, ${interval(y.value, y.reach)} up`);
}

export function drawPlot() {
  const [across, up] = [data.tasks[$("plot-x").value], data.tasks[$("plot-y").value]];
  const plot = $("plot");
  plot.replaceChildren($("plot-title"));
  const all = data.models.map((_, model) => ({ model, x: across.scores[model], y: up.scores[model] }));
  const points = all.filter((point) => point.x && point.y);
  $("plot-title").textContent = `${up.title} against ${across.title}, ${points.length} models`;
  if (points.length) {
    const floors = (task) => (task.blind === null ? [] : [{ value: task.blind }]);
    const place = { x: axis([...points.map((point) => point.x), ...floors(across)], BOX.left, BOX.right), y: axis([...points.map((point) => point.y), ...floors(up)], BOX.bottom, BOX.top) };
    for (const point of points) {
      const reach = (score, axisOf) => Math.abs(axisOf.place(score.value + (score.reach || 0)) - axisOf.place(score.value - (score.reach || 0))) / 2;
      Object.assign(point, { cx: place.x.place(point.x.value), cy: place.y.place(point.y.value), rx: reach(point.x, place.x), ry: reach(point.y, place.y) });
    }
    drawAxes(plot, place.x, place.y, across, up);
    const front = paretoFront(points.filter(({ x, y }) => !x.apart && !y.apart));
    shape(plot, "polyline", { class: "front", points: front.map(({ cx, cy }) => `${cx},${cy}`).join(" ") });
    const drawn = arrows(points);
    for (const arrow of drawn) drawArrow(plot, arrow);
    for (const point of points) drawPoint(plot, point);
    placeLabels(plot, points.map(({ model, cx, cy }) => ({ x: cx, y: cy, text: modelName(model) })), obstacles(points, drawn), { ...BOX, top: BOX.top - 10 });
    $("plot-front").textContent = `On the Pareto front: ${front.map(({ model }) => modelName(model)).join(", ")}.`;
  } else $("plot-front").textContent = "No model has both scores.";
  const lacking = all.filter((point) => !point.x || !point.y).map(({ model, x, y }) => {
    const tasks = [x ? null : across.title, y ? null : up.title].filter(Boolean);
    return `${modelName(model)} (no score on ${tasks.join(" and ")})`;
  });
  $("plot-lacking").textContent = lacking.length ? `Not in the plot: ${lacking.join(", ")}.` : "";
}

export function startTradeoff() {
  if (taskNames.length < 2) {
    $("tradeoff").hidden = true;
    return;
  }
  const scored = (name) => Object.keys(data.tasks[name].scores).length;
  const most = (names) => names.reduce((best, name) => (best === undefined || scored(name) > scored(best) ? name : best), undefined);
  const retrieval = most(taskNames.filter((name) => data.tasks[name].whole_set)) ?? taskNames[0];
  const others = taskNames.filter((name) => name !== retrieval);
  const concept = most(others.filter((name) => data.tasks[name].concept === "color")) ?? most(others.filter((name) => data.tasks[name].concept)) ?? others[0];
  fill($("plot-x"), taskOptions(taskNames), retrieval);
  fill($("plot-y"), taskOptions(taskNames), concept);
  for (const id of ["plot-x", "plot-y"]) $(id).addEventListener("input", drawPlot);
  const name = () => `${$("plot-y").value}-${$("plot-x").value}`;
  $("plot-svg").addEventListener("click", () => download(new Blob([svgText($("plot"))], { type: "image/svg+xml" }), `${name()}.svg`));
  $("plot-png").addEventListener("click", async () => download(await pngBlob($("plot")), `${name()}.png`));
  onChoice(({ task }) => {
    if (task && task !== $("plot-x").value) {
      $("plot-y").value = task;
      drawPlot();
    }
  });
  drawPlot();
}
