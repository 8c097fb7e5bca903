// The table of scores: grouped columns, ordered and filtered rows.
import { $, data, dot, element, interval, percent, taskNames, track } from "./dom.js";
import { choose, chosen, onChoice } from "./choice.js";

const board = $("board");
const sorted = { column: null, ascending: false };

function columns() {
  const byConcept = $("group-by").value === "concept";
  const group = ({ dataset, concept, whole_set }) => (byConcept ? concept || (whole_set ? "retrieval" : "other") : dataset);
  const found = taskNames.map((name) => {
    const task = data.tasks[name];
    const part = byConcept ? `${task.dataset}${task.concept ? "" : ` · ${task.part}`}` : task.part;
    return { id: name, group: group(task), part, title: `${name}: ${task.metric}`, scores: task.scores, leader: task.leader };
  });
  const means = Object.entries(data.means).map(([name, { scores, leader }]) => ({ id: `mean of ${name}`, group: "mean of a group", part: name, title: `mean of ${name}`, scores, leader }));
  const order = [...new Set(found.map((column) => column.group))];
  const wanted = $("filter-tasks").value.toLowerCase();
  return [...found.sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group)), ...means]
    .filter(({ id, group: name, part }) => `${id} ${name} ${part}`.toLowerCase().includes(wanted));
}

function rows() {
  const wanted = $("filter-models").value.toLowerCase();
  const shown = data.models.map((model, index) => index)
    .filter((index) => data.models[index].label.toLowerCase().includes(wanted) && (!data.models[index].published || $("show-published").checked));
  const { column, ascending } = sorted;
  const key = (index) => (column ? column.scores[index]?.value : $("order").value === "above" ? data.models[index].above : null) ?? null;
  if (column || $("order").value === "above") {
    shown.sort((a, b) => (key(a) === null) - (key(b) === null) || (ascending ? key(a) - key(b) : key(b) - key(a)));
  } else if ($("order").value === "name") {
    shown.sort((a, b) => data.models[a].label.localeCompare(data.models[b].label, undefined, { numeric: true }));
  }
  return shown;
}

function tableCell(score, best, published) {
  if (!score) return element("td", { className: "none" }, element("span", { ariaLabel: "no score", textContent: "–" }));
  const [low, high] = score.reach === null ? [null, null] : [Math.max(0, score.value - score.reach), score.value + score.reach];
  const heat = score.heat === undefined ? {} : { "--heat": `${Math.round(Math.abs(score.heat) * 100)}%` };
  return element("td", {
    className: [score.apart ? "flagged" : "", score.heat < 0 ? "below" : "", best ? "best" : ""].join(" ").trim(),
    dataset: { value: score.value }, style: published ? {} : heat, title: `${interval(score.value, score.reach)}; ${score.facts}`,
  },
  element(best ? "strong" : "span", { textContent: percent(score.value) }),
  score.reach === null ? null : element("small", { textContent: ` ±${percent(score.reach)}` }),
  score.marks ? element("small", { className: "marks", textContent: score.marks }) : null,
  track({ value: score.value, low, high, chance: score.chance ?? null, blind: score.blind ?? null }));
}

const pageLink = ({ id }) => (data.tasks[id]?.page ? element("small", {}, element("a", { href: data.tasks[id].page, textContent: "page" })) : null);

function heading(column) {
  const mine = sorted.column?.id === column.id;
  const button = element("button", { type: "button", textContent: column.part });
  button.addEventListener("click", () => {
    Object.assign(sorted, { column, ascending: mine && !sorted.ascending });
    if (column.id in data.tasks) choose({ task: column.id });
    else drawTable();
  });
  const order = mine ? (sorted.ascending ? "ascending" : "descending") : "none";
  return element("th", { scope: "col", ariaSort: order, title: column.title, dataset: { task: column.id }, className: chosen.task === column.id ? "chosen" : "" }, button, pageLink(column));
}

function rowHeading(model) {
  const { label, short, published, page } = data.models[model];
  const link = element("a", { href: page ?? `#model=${encodeURIComponent(label)}`, textContent: short, title: label });
  const tag = published ? element("small", { className: "tag", textContent: "published, not measured" }) : null;
  return element("th", { scope: "row" }, published ? null : dot(model), " ", published && !page ? label : link, " ", tag);
}

export function drawTable() {
  const [shown, models] = [columns(), rows()];
  const spans = shown.reduce((all, { group }) => {
    if (all.at(-1)?.group === group) all.at(-1).span += 1;
    else all.push({ group, span: 1 });
    return all;
  }, []);
  board.tHead.replaceChildren(
    element("tr", { className: "groups" }, element("th", { scope: "col", rowSpan: 2, textContent: "Model" }),
      ...spans.map(({ group, span }) => element("th", { scope: "colgroup", colSpan: span }, element("span", { textContent: group })))),
    element("tr", {}, ...shown.map(heading)));
  board.tBodies[0].replaceChildren(...models.map((model) => element("tr", {
    className: `${data.models[model].published ? "published" : ""} ${chosen.model === model ? "chosen" : ""}`.trim(), dataset: { model: data.models[model].label },
  }, rowHeading(model), ...shown.map(({ scores, leader }) => tableCell(scores[model], leader === model, data.models[model].published)))));
  const order = sorted.column ? `${sorted.column.group} · ${sorted.column.part}, ${sorted.ascending ? "lowest" : "highest"} first` : $("order").selectedOptions[0].textContent;
  $("status").textContent = `${models.length} of ${data.models.length} models, ${shown.length} columns. Order: ${order}.`;
}

export function startTable() {
  for (const id of ["filter-models", "filter-tasks", "show-published", "group-by"]) $(id).addEventListener("input", drawTable);
  $("order").addEventListener("input", () => { Object.assign(sorted, { column: null, ascending: false }); drawTable(); });
  onChoice(drawTable);
  drawTable();
}
