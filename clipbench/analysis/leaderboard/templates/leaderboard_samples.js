/* Concepts and keywords: accuracy by each, and what is mistaken for what. */
const scoresOf = (task) => Object.entries(data.tasks[task].scores);

function drawConcepts() {
  const concepts = new Map();
  for (const name of taskNames) {
    const { concept, task_type } = data.tasks[name];
    if (concept !== task_type) concepts.set(concept, [...(concepts.get(concept) || []), name]);
  }
  const head = element("tr", {}, element("th", { scope: "col", textContent: "Concept" }),
    ...data.models.map((name) => element("th", { scope: "col", textContent: name })));
  const body = [...concepts].sort().map(([concept, tasks]) => element("tr", {},
    element("th", { scope: "row", textContent: concept, title: tasks.join(", ") }),
    ...data.models.map((_, model) => {
      const scores = tasks.map((task) => data.tasks[task].scores[model]);
      if (scores.some((score) => !score || score.apart)) return element("td", { textContent: "–" });
      const mean = scores.reduce((sum, { value }) => sum + value, 0) / scores.length;
      return element("td", { textContent: percent(mean), heat: mean, title: tasks.join(", ") });
    })));
  $("concepts").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

function drawKeywords() {
  const task = $("breakdown-task").value;
  const models = scoresOf(task).filter(([, score]) => Object.keys(score.breakdown).length);
  const words = [...new Set(models.flatMap(([, score]) => Object.keys(score.breakdown)))].sort();
  const head = element("tr", {}, element("th", { scope: "col", textContent: "Keyword" }),
    ...models.map(([model]) => element("th", { scope: "col", textContent: data.models[model] })));
  const body = words.map((word) => element("tr", {}, element("th", { scope: "row", textContent: word }),
    ...models.map(([, score]) => {
      const part = score.breakdown[word];
      return part ? element("td", { textContent: percent(part[1]), heat: part[1], title: `n = ${part[0]}` }) : element("td", { textContent: "–" });
    })));
  $("keywords").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  const logged = models.filter(([, score]) => score.confusion);
  $("breakdown-model").replaceChildren();
  fill($("breakdown-model"), logged.map(([model]) => [model, data.models[model]]));
  drawConfusion();
}

function drawConfusion() {
  const score = data.tasks[$("breakdown-task").value].scores[$("breakdown-model").value];
  if (!score || !score.confusion) {
    $("confusion").replaceChildren(element("caption", { textContent: "No samples of this task were logged." }));
    return;
  }
  const { words, counts } = score.confusion;
  const cells = words.map(() => words.map(() => 0));
  for (const [row, column, count] of counts) cells[row][column] = count;
  const used = words.map((_, index) => cells[index].some((count) => count));
  const head = element("tr", {}, element("th", { scope: "col", textContent: "Caption says" }),
    ...words.map((word) => element("th", { scope: "col", textContent: word })));
  const body = cells.map((row, index) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return element("tr", { hidden: !used[index] }, element("th", { scope: "row", textContent: `${words[index]} (${total})` }),
      ...row.map((count, column) => element("td", {
        textContent: count ? ((100 * count) / total).toFixed(0) : "", heat: total ? count / total : 0,
        className: index === column ? "diagonal" : "", title: `${words[index]} → ${words[column]}: ${count}`,
      })));
  });
  $("confusion").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

const broken = taskNames.filter((name) => scoresOf(name).some(([, score]) => Object.keys(score.breakdown).length > 1));
if (broken.length) {
  fill($("breakdown-task"), taskOptions.filter(([name]) => broken.includes(name)));
  $("breakdown-task").addEventListener("input", drawKeywords);
  drawConcepts();
  $("breakdown-model").addEventListener("input", drawConfusion);
  drawKeywords();
} else $("breakdown").hidden = true;

/* The gallery: samples that two chosen models judge differently. */
function card(sample, models) {
  const images = sample.images.map((key, index) => data.images[key]
    ? element("img", { src: data.images[key], alt: `image ${index + 1} of sample ${sample.id}` })
    : element("span", { textContent: "image not available" }));
  const head = element("tr", {}, element("th", { scope: "col", textContent: "text" }), ...models.map((model, index) => {
    const right = sample.answers[model].right;
    return element("th", { scope: "col", className: right ? "right" : "wrong", textContent: `${"AB"[index]} ${right ? "✓ right" : "✗ wrong"}` });
  }));
  const body = sample.texts.map((text, place) => element("tr", {},
    element("td", { className: sample.own[place] ? "own" : "", textContent: text }),
    ...models.map((model) => {
      const { scores, first } = sample.answers[model];
      return element("td", { className: first[place] ? "picked" : "", textContent: scores[place].join(" / ") });
    })));
  const ranks = models.map((model) => sample.answers[model].rank);
  if (ranks[0] !== undefined) body.push(element("tr", {}, element("td", { textContent: "rank" }), ...ranks.map((rank) => element("td", { textContent: rank }))));
  return element("figure", {}, element("div", { className: "images" }, ...images),
    element("figcaption", {}, element("small", { textContent: sample.id }), element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))));
}

function drawGallery() {
  if (!$("gallery-box").open) return;
  const [a, b, which] = [$("gallery-a").value, $("gallery-b").value, $("gallery-which").value];
  const found = data.gallery[$("gallery-task").value].filter(({ answers }) => {
    if (!answers[a] || !answers[b] || answers[a].right === answers[b].right) return false;
    return which === "either" || answers[which === "a" ? a : b].right;
  });
  $("gallery-status").textContent = `${found.length} samples. In green the text that belongs to the image; underlined what a model ranks first, or as high as the first.`;
  $("cards").replaceChildren(...found.map((sample) => card(sample, [a, b])));
}

function chooseTask() {
  const answered = new Set(data.gallery[$("gallery-task").value].flatMap((sample) => Object.keys(sample.answers)));
  const options = [...answered].sort((one, other) => one - other).map((model) => [model, data.models[model]]);
  for (const [id, index] of [["gallery-a", 0], ["gallery-b", 1]]) {
    const before = $(id).value;
    $(id).replaceChildren();
    fill($(id), options, answered.has(before) ? before : options[Math.min(index, options.length - 1)]?.[0]);
  }
  drawGallery();
}

const shown = Object.keys(data.gallery).filter((task) => data.gallery[task].length);
if (shown.length) {
  fill($("gallery-task"), shown.map((name) => [name, name]));
  $("gallery-task").addEventListener("input", chooseTask);
  for (const id of ["gallery-a", "gallery-b", "gallery-which"]) $(id).addEventListener("input", drawGallery);
  $("gallery-box").addEventListener("toggle", drawGallery);
  chooseTask();
} else $("gallery").hidden = true;
