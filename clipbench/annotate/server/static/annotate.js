// The workflow of one pair. The server says which step a pair is at; each answer draws it again.

import { get, post, saveMask } from "./api.js";
import { button, duration, el } from "./dom.js";
import { maskStep } from "./mask_step.js";
import { beforeAfter, captionField, captionText, facts, fitted, jobBox, photograph, promptField, usedCaption } from "./parts.js";

// What is shown for the set's steps, and the step to which a click on its name goes back.
const STEPS = [["Photo", "photograph"], ["Mask", "mask_prompt", "mask"], ["Repaint", "candidates", "inpaint_prompt"], ["Rate", "rating"], ["Caption", "caption"]];
const DOTS = { blue: "#3366dd", red: "#d33", green: "#2a8f3d", yellow: "#f2d024", black: "#111", white: "#fff", brown: "#7b4b26", gray: "#888", orange: "#f28c1e" };

const DRAW = { photograph: useStep, mask_prompt: maskStep, mask: maskStep, inpaint_prompt: paintStep, candidates: paintStep, rating: rateStep, caption: captionStep };

export async function annotate(stage, id) {
  const item = id ? await get(`/api/items/${encodeURIComponent(id)}`) : await post("/api/next");
  if (item.none) return stage.show(nothingLeft(item.none));
  return show(stage, item);
}

function nothingLeft(reason) {
  return el("div", { className: "card hello" }, el("h2", {}, "Nothing left to annotate"), el("p", {}, reason),
    el("p", {}, el("a", { href: "#done" }, "See the pairs"), " or ", el("a", { href: "#review" }, "review those of others"), "."));
}

// What all steps share: the pair, and how to send it on.
function context(stage, item) {
  const path = `/api/items/${encodeURIComponent(item.id)}`;
  const context = {
    stage, item, path,
    redraw: (next) => stage.current() && show(stage, next),
    send: (step, body) => stage.attempt(async () => context.redraw(await post(`${path}/${step}`, body))),
    sendMask: (blob, query) => stage.attempt(async () => context.redraw(await saveMask(`${path}/mask?${query}`, blob))),
    back: (step) => button("Back", "Backspace", () => context.send("back", { step })),
    next: () => stage.attempt(async () => {
      if (location.hash.includes("/")) location.hash = "#annotate";
      else await annotate(stage, null);
    }),
  };
  return context;
}

async function show(stage, item) {
  const draw = DRAW[item.step] ?? endStep;
  const parts = context(stage, item);
  const { view, card, start } = await draw(parts);
  stage.show(el("div", { className: "work" }, el("section", { className: "view", "aria-label": "Photograph" }, ...view), el("section", { className: "card", "aria-label": "Step" }, steps(parts), ...card)));
  start?.();
}

function steps({ item, send }) {
  const at = STEPS.findIndex((step) => step.includes(item.step, 1));
  return el("ol", { className: "steps", "aria-label": "Steps" }, ...STEPS.map(([label, step], number) => {
    const past = number < at && !item.job;
    return el("li", { className: number < at ? "past" : "", "aria-current": number === at ? "step" : null },
      past ? el("button", { type: "button", className: "quiet", onclick: () => send("back", { step }), title: `Back to: ${label}` }, label) : label);
  }));
}

function useStep({ item, send }) {
  let chosen = item.caption ?? 0;
  const rows = item.captions.map((caption, number) =>
    el("li", {}, button("", item.captions.length > 1 && number < 9 ? String(number + 1) : null, () => choose(number), { className: "choice", "aria-label": caption.text })));
  rows.forEach((row, number) => row.firstChild.firstChild.replaceWith(captionText(item.captions[number])));
  const choose = (number) => {
    chosen = number;
    rows.forEach((row, each) => row.firstChild.setAttribute("aria-pressed", String(each === chosen)));
  };
  choose(chosen);
  return {
    view: [photograph(item)],
    card: [
      el("h2", {}, "Can this be edited?"),
      el("p", { className: "soft" }, item.captions.length > 1 ? "Choose the caption whose marked word is to change." : "The marked word is to change."),
      el("ul", { className: "choices", "aria-label": "Captions" }, ...rows),
      el("div", { className: "row" }, button("Use", "Enter", () => send("use", { caption: chosen }), { className: "primary" }), button("Skip", "s", () => send("skip"))),
      facts(item),
    ],
  };
}

function paintStep(parts) {
  const { item, stage, send, back } = parts;
  const prompt = promptField("Inpainting prompt", "inpaint-prompt", item.inpaint_prompt);
  let word = item.replacement;
  const chips = item.replacements.map((each, number) => {
    const dot = DOTS[each.word] ? el("span", { className: "dot" }) : null;
    if (dot) dot.style.background = DOTS[each.word];
    const chip = button(each.word, null, () => pick(each), { className: "chip", "aria-pressed": String(each.word === word) });
    if (dot) chip.prepend(dot);
    return chip;
  });
  const pick = (each) => {
    word = each.word;
    prompt.field.value = each.prompt;
    chips.forEach((chip, number) => chip.setAttribute("aria-pressed", String(item.replacements[number] === each)));
  };
  const turn = () => {
    const at = item.replacements.findIndex((each) => each.word === word);
    pick(item.replacements[(at + 1) % item.replacements.length]);
  };
  const paint = () => send("paint", { prompt: prompt.field.value, replacement: word });
  const some = item.candidates.length > 0;
  const running = item.job ? jobBox(parts, item.job) : null;
  const cards = item.candidates.map((candidate, number) => candidateCard(parts, candidate, number));
  const estimate = item.seconds ? `${duration(item.seconds).replace(" left", "")} a candidate` : "";
  return {
    view: some ? [el("div", { className: `candidates ${cards.length > 3 ? "many" : ""}` }, el("figure", {}, photograph(item), el("figcaption", {}, "Before")), ...cards)] : [maskedPhotograph(item)],
    card: [
      el("h2", {}, some ? "Which one is best?" : "What should it become?"),
      usedCaption(item),
      prompt.element,
      item.replacements.length > 1 ? el("fieldset", {}, el("legend", {}, "Change it into ", button("Next", "n", turn, { className: "quiet" })), el("div", { className: "chips" }, ...chips)) : null,
      item.note ? el("p", { className: "note bad" }, item.note) : null,
      running?.box,
      el("div", { className: "row" },
        running ? button("Next photograph meanwhile", "x", () => startAnother(stage), { "data-free": true })
          : button(some ? "More candidates" : `Paint ${item.paints}`, some ? "m" : "Enter", paint, { className: some ? "" : "primary" }),
        running ? null : back("mask")),
      estimate && !some ? el("p", { className: "facts" }, estimate) : null,
    ],
    start: () => running?.run(),
  };
}

function startAnother(stage) {
  return stage.attempt(async () => annotate(stage, null));
}

function candidateCard({ item, send }, candidate, number) {
  const card = button("", number < 9 ? String(number + 1) : null, () => send("choose", { candidate: candidate.id }), {
    className: "candidate", "aria-label": `Candidate ${number + 1}, seed ${candidate.seed}`, "aria-pressed": String(candidate.id === item.chosen), "data-free": true,
  });
  const label = el("span", {}, `Seed ${candidate.seed}`);
  card.firstChild.replaceWith(fitted({ src: candidate.url, alt: "", width: item.photograph.width, height: item.photograph.height }), label);
  if (candidate.notes?.length) label.append(el("small", {}, candidate.notes.join(" ")));
  return card;
}

function maskedPhotograph(item) {
  return el("figure", {}, fitted({ src: item.preview, width: item.photograph.width, height: item.photograph.height, alt: "The photograph; what is masked is bright" }), el("figcaption", {}, "What is masked is bright"));
}

function rateStep({ item, send, back }) {
  return {
    view: [beforeAfter(item)],
    card: [
      el("h2", {}, "How good is it?"),
      usedCaption(item),
      el("p", { className: "soft" }, "Neither good enough? Go back and choose or paint another."),
      el("div", { className: "row" },
        button("Very good", "v", () => send("rate", { rating: "very good" }), { className: "primary" }),
        button("Okay", "o", () => send("rate", { rating: "okay" })), back("candidates")),
    ],
  };
}

function captionStep(parts) {
  const { item, stage, path, back, redraw, next } = parts;
  const caption = captionField(item, item.new_caption);
  const save = () => stage.attempt(async () => {
    const saved = await post(`${path}/caption`, { caption: caption.field.value });
    if (location.hash.includes("/")) return redraw(saved); // one that was gone back to
    return next();
  });
  return {
    view: [beforeAfter(item)],
    card: [
      el("h2", {}, "The caption of the new picture"),
      usedCaption(item),
      ...caption.elements,
      el("div", { className: "row" }, button("Save the pair", "Enter", save, { className: "primary" }), back("rating")),
    ],
  };
}

function endStep(parts) {
  const { item, next, send } = parts;
  const finished = item.step === "done";
  return {
    view: [finished ? beforeAfter(item) : photograph(item)],
    card: [
      el("h2", {}, finished ? "Saved" : "Skipped"),
      finished ? el("p", { className: "note" }, el("span", { className: "before" }, item.captions[item.caption].text), el("br"), item.new_caption) : null,
      finished && item.rating ? el("p", { className: "soft" }, `Rated ${item.rating}.`) : null,
      el("div", { className: "row" }, button("Next photograph", "Enter", next, { className: "primary" }), button(finished ? "Change it" : "Take it back", "c", () => send("back", { step: finished ? "caption" : "photograph" }))),
      facts(item),
    ],
  };
}

