// The second pass, the list of what is done, and how far annotators agree.

import { get, post } from "./api.js";
import { beforeAfter, captionField, captionText } from "./parts.js";
import { button, el } from "./dom.js";

export async function review(stage, id) {
  const item = id ? await get(`/api/items/${encodeURIComponent(id)}`) : await get("/api/review");
  if (item.none) {
    return stage.show(el("div", { className: "card hello" }, el("h2", {}, "Nothing to review"), el("p", {}, item.none), el("p", {}, el("a", { href: "#annotate" }, "Annotate"))));
  }
  const caption = captionField(item, item.new_caption);
  const decide = (decision) => stage.attempt(async () => {
    await post(`/api/items/${encodeURIComponent(item.id)}/review`, { decision, caption: caption.field.value });
    if (id) location.hash = "#review";
    else await review(stage, null);
  });
  stage.show(el("div", { className: "work" },
    el("section", { className: "view", "aria-label": "Pair" }, beforeAfter(item)),
    el("section", { className: "card", "aria-label": "Review" },
      el("h2", {}, "Is this pair right?"),
      el("div", {}, el("h3", {}, "Before"), el("p", { className: "note" }, captionText(item.captions[item.caption]))),
      ...caption.elements,
      el("p", { className: "soft" }, "Mend the caption above if that is all it needs; the mended one is accepted."),
      el("div", { className: "row" },
        button("Accept", "Enter", () => decide("accept"), { className: "primary" }),
        button("Reject", "r", () => decide("reject"), { className: "danger" })),
      el("p", { className: "facts" }, [item.annotator ? `Made by ${item.annotator}` : "Drafted without a person", item.rating && `rated ${item.rating}`, item.photograph.license].filter(Boolean).join(" · ")))));
  return undefined;
}

const TAGS = { annotated: "good", accepted: "good", rejected: "bad", skipped: "" };

export async function done(stage) {
  const { items } = await get("/api/items");
  const cards = items.map((item) => el("li", {},
    el("div", { className: "two" },
      el("img", { src: item.photograph.url, alt: "Before", loading: "lazy", width: item.photograph.width, height: item.photograph.height }),
      item.chosen_url ? el("img", { src: item.chosen_url, alt: "After", loading: "lazy", width: item.photograph.width, height: item.photograph.height }) : null),
    item.text ? el("p", {}, item.text) : null,
    item.new_caption ? el("p", {}, "→ ", item.new_caption) : null,
    el("div", { className: "row" },
      el("span", {}, el("span", { className: `tag ${TAGS[item.state] ?? ""}` }, item.state), " ", el("small", {}, item.annotator || "draft")),
      item.mine ? el("a", { href: `#annotate/${encodeURIComponent(item.id)}` }, "Open") : null)));
  stage.show(el("h2", {}, items.length ? "Pairs" : "No pairs yet"),
    items.length ? el("ul", { className: "pairs" }, ...cards) : el("p", { className: "lead" }, "What you make is listed here, and can be opened again."));
}

export async function agreement(stage) {
  const { figures, notes } = await get("/api/agreement");
  stage.show(el("h2", {}, "Agreement"),
    el("dl", { className: "figures" }, ...figures.map(({ label, value }) => el("div", {}, el("dt", {}, label), el("dd", {}, value)))),
    ...notes.map((note) => el("p", { className: "note" }, note)));
}
