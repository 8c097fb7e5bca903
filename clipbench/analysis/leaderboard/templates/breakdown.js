// Accuracy by keyword, side by side, and what is mistaken for what.
import { $, data, dot, element, fill, hue, modelName, percent, taskNames, taskOptions, track } from "./dom.js";
import { choose, onChoice } from "./choice.js";
import { openSamples } from "./gallery.js";

const scoresOf = (task) => Object.entries(data.tasks[task].scores).sort(([a], [b]) => a - b);

// Wilson's interval, which takes the samples as independent.
function wilson(value, n) {
  const z = 1.959964;
  const center = (value + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const reach = (z * Math.sqrt((value * (1 - value)) / n + (z * z) / (4 * n * n))) / (1 + (z * z) / n);
  return [Math.max(0, center - reach), Math.min(1, center + reach)];
}

function bar(part, chance) {
  if (!part) return element("td", { className: "none", textContent: "–" });
  const [n, value] = part;
  const [low, high] = n ? wilson(value, n) : [null, null];
  const made = track({ value, low, high, chance });
  made.classList.add("bar");
  made.prepend(element("em", { style: { width: `${percent(value)}%` } }));
  return element("td", { title: `${percent(value)}, 95 % interval ${percent(low ?? value)} to ${percent(high ?? value)}; n = ${n}` }, element("span", { textContent: percent(value) }), made);
}

function drawKeywords() {
  const task = $("breakdown-task").value;
  const models = scoresOf(task).filter(([, score]) => Object.keys(score.breakdown).length);
  const parts = (word) => models.map(([, score]) => score.breakdown[word]).filter(Boolean);
  const mean = (word) => parts(word).reduce((sum, [, value]) => sum + value, 0) / parts(word).length;
  const count = (word) => Math.max(...parts(word).map(([n]) => n));
  const words = [...new Set(models.flatMap(([, score]) => Object.keys(score.breakdown)))].sort();
  const order = $("breakdown-order").value;
  if (order === "count") words.sort((a, b) => count(b) - count(a));
  if (order === "hardest") words.sort((a, b) => mean(a) - mean(b));
  const chance = models[0]?.[1].chance ?? null;
  const head = element("tr", {}, element("th", { scope: "col", textContent: "Keyword" }),
    ...models.map(([model]) => element("th", { scope: "col", title: data.models[model].label }, dot(model), ` ${modelName(model)}`)));
  const body = words.map((word) => element("tr", {}, element("th", { scope: "row" }, word, element("small", { textContent: ` ${count(word)}` })),
    ...models.map(([model, score]) => {
      const cell = bar(score.breakdown[word], chance);
      cell.style.setProperty("--hue", hue(model));
      return cell;
    })));
  $("keywords").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  const logged = models.filter(([, score]) => score.confusion).map(([model]) => [model, modelName(model)]);
  fill($("breakdown-model"), logged, $("breakdown-model").value);
  $("confusions").hidden = !logged.length;
  drawConfusion();
}

function drawConfusion() {
  const [task, model] = [$("breakdown-task").value, $("breakdown-model").value];
  const confusion = data.tasks[task].scores[model]?.confusion;
  if (!confusion) return;
  const { words, counts } = confusion;
  const cells = words.map(() => words.map(() => 0));
  for (const [row, column, count] of counts) cells[row][column] = count;
  const rows = words.map((_, index) => index).filter((index) => cells[index].some(Boolean));
  const used = words.map((_, index) => index).filter((index) => rows.includes(index) || rows.some((row) => cells[row][index]));
  const mistakes = rows.flatMap((row) => cells[row].filter((_, column) => column !== row).map((count) => count / cells[row].reduce((sum, each) => sum + each, 0)));
  const worst = Math.max(0.01, ...mistakes); // the deepest color
  const head = element("tr", {}, element("th", { scope: "col", textContent: "Caption says" }), ...used.map((index) => element("th", { scope: "col" }, element("span", { textContent: words[index] }))));
  const body = rows.map((row) => {
    const total = cells[row].reduce((sum, count) => sum + count, 0);
    return element("tr", {}, element("th", { scope: "row" }, words[row], element("small", { textContent: ` ${total}` })), ...used.map((column) => {
      const count = cells[row][column];
      const share = count / total;
      const shown = count ? percent(share) : "";
      const cell = element("td", { className: row === column ? "diagonal" : "", style: { "--heat": `${((100 * share) / (row === column ? 1 : worst)).toFixed(0)}%` }, title: `${words[row]} → ${words[column]}: ${count} of ${total}` });
      if (count && row !== column && data.gallery[task]) {
        const button = element("button", { type: "button", textContent: shown, ariaLabel: `${words[row]} taken for ${words[column]}: ${shown} %; show samples` });
        button.addEventListener("click", () => openSamples(task, model, [words[row], words[column]]));
        cell.append(button);
      } else cell.append(shown);
      return cell;
    }));
  });
  $("confusion").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

export function startBreakdown() {
  const broken = taskNames.filter((name) => scoresOf(name).some(([, score]) => Object.keys(score.breakdown).length > 1));
  if (!broken.length) {
    $("breakdown").hidden = true;
    return;
  }
  const logged = broken.filter((name) => scoresOf(name).some(([, score]) => score.confusion));
  const first = logged.find((name) => data.tasks[name].concept === "color") ?? logged[0] ?? broken[0];
  fill($("breakdown-task"), taskOptions(broken), first);
  $("breakdown-task").addEventListener("input", () => choose({ task: $("breakdown-task").value }));
  $("breakdown-order").addEventListener("input", drawKeywords);
  $("breakdown-model").addEventListener("input", drawConfusion);
  onChoice(({ task, model }) => {
    if (task && broken.includes(task)) $("breakdown-task").value = task;
    if (task) drawKeywords();
    if (model !== undefined && model !== null && [...$("breakdown-model").options].some(({ value }) => value === String(model))) {
      $("breakdown-model").value = model;
      drawConfusion();
    }
  });
  drawKeywords();
}
