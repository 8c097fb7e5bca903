// What several steps show: pictures, captions, fields, a job's progress.

import { cancel, follow, get, post } from "./api.js";
import { button, duration, el, marked, say } from "./dom.js";

export function photograph(item, alt = "The photograph") {
  const { url, width, height } = item.photograph;
  return fitted({ src: url, width, height, alt });
}

// A picture as large as the place allows, in its proportions.
export function fitted({ width, height, ...rest }) {
  const picture = el("img", { className: "fit", width, height, ...rest });
  picture.style.setProperty("--ratio", width / height);
  return picture;
}

export function facts(item) {
  const { name, license, width, height } = item.photograph;
  return el("p", { className: "facts" }, [name, `${width} × ${height}`, license].filter(Boolean).join(" · "));
}

export function captionText(caption) {
  return el("span", {}, ...marked(caption.text, caption.start, caption.end));
}

// A caption as it is used, above what is asked.
export function usedCaption(item) {
  return el("p", { className: "note" }, captionText(item.captions[item.caption]));
}

// A text with a label; Enter in it presses the step's main button.
export function promptField(label, id, value, key = "e") {
  const field = el("textarea", { id, value, rows: value.length > 40 ? 2 : 1, maxLength: 500, autocomplete: "off", spellcheck: true });
  const edit = button("Edit", key, () => {
    field.focus();
    field.select();
  }, { className: "quiet", "data-free": true });
  return { field, element: el("div", {}, el("div", { className: "row between" }, el("label", { htmlFor: id }, label), edit), field) };
}

// A job's progress, followed until it ends. The pair is drawn again with each result, and at the end with what went wrong.
export function jobBox({ stage, path, redraw }, job) {
  const bar = el("progress", { max: 1, "aria-label": job.label });
  const text = el("span", { className: "soft" });
  const box = el("div", { className: "job" },
    el("div", { className: "row" }, el("b", {}, job.label), button("Cancel", "Escape", () => cancel(job.id).catch((error) => say(error.message)), { "data-free": true })), bar, text);
  const draw = (now) => {
    if (now.steps) {
      bar.max = now.steps;
      bar.value = now.step;
    }
    const queue = now.ahead ? `${now.ahead} before it` : null;
    const at = now.steps ? `step ${now.step} of ${now.steps}` : now.state === "waiting" ? "waiting" : "starting";
    text.textContent = [at, queue, duration(now.seconds_left)].filter(Boolean).join(" · ");
    if (now.stored > job.stored && now.state === "running") reload({});
  };
  const shown = () => stage.current() && box.isConnected;
  const reload = async (more) => {
    const next = await get(path);
    if (!shown()) return; // the annotator has gone on meanwhile
    const { id, value, selectionStart } = document.activeElement; // what is being written stays
    await redraw({ ...next, ...more });
    const field = value === undefined ? null : document.getElementById(id);
    if (!field) return;
    field.value = value;
    field.focus({ preventScroll: true });
    field.setSelectionRange(selectionStart, selectionStart);
  };
  draw(job);
  const run = () => follow(job.id, draw, shown)
    .then((end) => end && reload(end.state === "failed" ? { note: end.error } : {}))
    .catch((error) => (text.textContent = error.message));
  return { box, run };
}

export function beforeAfter(item, after = item.chosen_url) {
  const size = { width: item.photograph.width, height: item.photograph.height };
  return el("div", { className: "two" },
    el("figure", {}, el("img", { src: item.photograph.url, alt: "Before", ...size }), el("figcaption", {}, "Before")),
    el("figure", {}, el("img", { src: after, alt: "After", ...size }), el("figcaption", {}, "After")));
}

// A caption that is checked while it is written.
export function captionField(item, text) {
  const field = el("textarea", { id: "new-caption", value: text, rows: 3, maxLength: 1000, spellcheck: true, "aria-describedby": "caption-check", autocomplete: "off" });
  const verdict = el("p", { className: "note", id: "caption-check", "aria-live": "polite" });
  let last = 0;
  const check = async () => {
    const number = ++last;
    const answer = await post(`/api/items/${encodeURIComponent(item.id)}/check`, { caption: field.value }).catch(() => null);
    if (!answer || number !== last) return;
    field.setAttribute("aria-invalid", String(Boolean(answer.problem)));
    verdict.className = `note ${answer.problem ? "bad" : "good"}`;
    verdict.textContent = answer.problem || "Ready to save.";
  };
  field.addEventListener("input", check);
  check();
  const edit = button("Edit", "e", () => field.focus(), { className: "quiet", "data-free": true });
  return { field, elements: [el("div", {}, el("div", { className: "row between" }, el("label", { htmlFor: "new-caption" }, "New caption"), edit), field), verdict] };
}
