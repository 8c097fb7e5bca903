// Samples that a model has wrong, with pictures; by keyboard, arrows lead from one to the next.
import { $, data, dot, element, fill, modelName, taskOptions } from "./dom.js";
import { onChoice } from "./choice.js";

const AT_FIRST = 12;
const tasks = Object.keys(data.gallery);
let cell = null; // a cell of the confusion matrix whose samples are shown: [right answer, given answer]
let shownCards = AT_FIRST;

const caption = (parts) => parts.map(([part, differs]) => (differs ? element("mark", { textContent: part }) : part));

// A row for each text and a column for each model; for pairs, one score per image, the higher one bold.
function answerCell(sample, answer, place) {
  const { scores, first, image } = answer;
  if (!image) return element("td", { className: first.includes(place) ? "picked" : "", textContent: scores[place].join(" / ") });
  const own = Math.min(place, sample.images.length - 1);
  const numbers = scores[place].flatMap((score, index) => [index ? " / " : "", element(image[place] === index ? "strong" : "span", { textContent: score })]);
  return element("td", { className: image[place] === own ? "" : "wrong" }, ...numbers);
}

function verdicts(sample) {
  const names = (right) => Object.keys(sample.answers).filter((model) => sample.answers[model].right === right).map(modelName).join(", ");
  return element("p", { className: "verdicts" },
    names(true) ? element("span", { className: "right", textContent: `✓ ${names(true)} ` }) : null,
    names(false) ? element("span", { className: "wrong", textContent: `✗ ${names(false)}` }) : null);
}

// The image's own texts, and the two others that each model scores highest.
function shownTexts(sample, models) {
  const others = sample.texts.map((_, place) => place).filter((place) => !sample.own[place]);
  const highest = (model) => others.toSorted((a, b) => Math.max(...sample.answers[model].scores[b]) - Math.max(...sample.answers[model].scores[a])).slice(0, 2);
  const shown = new Set(models.flatMap(highest));
  return sample.texts.map((_, place) => place).filter((place) => sample.own[place] || shown.has(place));
}

function card(sample, models) {
  const images = sample.images.map((key, index) => data.images[key]
    ? element("img", { src: data.images[key], alt: `image ${index + 1} of sample ${sample.id}` })
    : element("span", { textContent: "image not available" }));
  const head = element("tr", {}, element("th", { scope: "col", textContent: "text" }), ...models.map((model) => {
    const { right } = sample.answers[model];
    return element("th", { scope: "col", className: right ? "right" : "wrong", title: data.models[model].label }, dot(model), ` ${modelName(model)} ${right ? "✓" : "✗"}`);
  }));
  const shown = shownTexts(sample, models);
  const rows = shown.map((place) => element("tr", {},
    element("td", { className: sample.own[place] ? "own" : "" }, ...caption(sample.texts[place])),
    ...models.map((model) => answerCell(sample, sample.answers[model], place))));
  const more = sample.count - shown.length;
  if (more > 0) rows.push(element("tr", {}, element("td", { className: "more", colSpan: 1 + models.length, textContent: `${more} more ${more === 1 ? "text" : "texts"}, with lower scores` })));
  if (models.some((model) => sample.answers[model].rank)) {
    rows.push(element("tr", {}, element("td", { textContent: sample.count > sample.own.filter(Boolean).length ? `rank of the true text, of ${sample.count}` : "rank" }),
      ...models.map((model) => element("td", { textContent: sample.answers[model].rank ?? "–" }))));
  }
  return element("figure", { tabIndex: 0 }, element("div", { className: "images" }, ...images),
    element("figcaption", {}, element("small", { textContent: sample.id }), element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)), verdicts(sample)));
}

function wanted(sample, wrong, right) {
  const answer = sample.answers[wrong];
  if (!answer || answer.right) return false;
  if (cell && (answer.confused?.[0] !== cell[0] || answer.confused?.[1] !== cell[1])) return false;
  return right === "" || sample.answers[right]?.right === true;
}

function drawGallery() {
  const [task, wrong, right] = [$("gallery-task").value, $("gallery-wrong").value, $("gallery-right").value];
  const found = data.gallery[task].filter((sample) => wanted(sample, wrong, right));
  const models = right === "" ? [wrong] : [wrong, right];
  const about = cell ? ` where “${cell[0]}” is taken for “${cell[1]}”` : "";
  const inPage = found.length ? `${found.length} of the samples in this page${about}.` : `The page holds no such sample${about}; leaderboard --gallery takes more of them.`;
  $("gallery-status").textContent = inPage;
  $("gallery-all").hidden = !cell;
  $("cards").replaceChildren(...found.slice(0, shownCards).map((sample) => card(sample, models)));
  $("gallery-more").hidden = found.length <= shownCards;
  $("gallery-more").textContent = `show ${Math.min(AT_FIRST, found.length - shownCards)} more`;
}

function redraw() {
  shownCards = AT_FIRST;
  drawGallery();
}

function chooseTask() {
  const answered = [...new Set(data.gallery[$("gallery-task").value].flatMap((sample) => Object.keys(sample.answers)))].sort((a, b) => a - b);
  const options = answered.map((model) => [model, modelName(model)]);
  fill($("gallery-wrong"), options, $("gallery-wrong").value);
  fill($("gallery-right"), [["", "any model, or none"], ...options], $("gallery-right").value);
}

export function openSamples(task, model, confused) {
  $("gallery-task").value = task;
  chooseTask();
  [$("gallery-wrong").value, $("gallery-right").value, cell] = [model, "", confused];
  redraw();
  $("gallery").scrollIntoView();
  $("cards").firstElementChild?.focus();
}

function onArrow(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const current = event.target.closest("figure");
  if (!step || !current) return;
  const next = step > 0 ? current.nextElementSibling : current.previousElementSibling;
  if (!next && step > 0 && !$("gallery-more").hidden) $("gallery-more").click();
  (next || (step > 0 ? current.nextElementSibling : null))?.focus();
  event.preventDefault();
}

export function startGallery() {
  if (!tasks.length) {
    $("gallery").hidden = true;
    return;
  }
  const first = tasks.find((name) => data.tasks[name].concept === "color") ?? tasks[0];
  fill($("gallery-task"), taskOptions(tasks), first);
  chooseTask();
  $("gallery-task").addEventListener("input", () => { cell = null; chooseTask(); redraw(); });
  for (const id of ["gallery-wrong", "gallery-right"]) $(id).addEventListener("input", () => { cell = null; redraw(); });
  $("gallery-all").addEventListener("click", () => { cell = null; redraw(); });
  $("gallery-more").addEventListener("click", () => { shownCards += AT_FIRST; drawGallery(); });
  $("cards").addEventListener("keydown", onArrow);
  onChoice(({ task, model }) => {
    if (task && tasks.includes(task)) $("gallery-task").value = task;
    chooseTask();
    if (model !== undefined && model !== null && [...$("gallery-wrong").options].some(({ value }) => value === String(model))) $("gallery-wrong").value = model;
    cell = null;
    redraw();
  });
  redraw();
}
