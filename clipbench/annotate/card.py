"""The data card of a set: what it is, how it was made, how far people agree, and each photograph's license."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipbench.annotate.agreement import measure_agreement
from clipbench.annotate.records import Pair
from clipbench.training.markdown import markdown_text
from clipbench.utils.text import pluralize

if TYPE_CHECKING:
    from clipbench.annotate.export import Exported

_STATUS = {
    "annotated": "made by a person",
    "accepted": "accepted by reviewers",
    "unreviewed": "proposed by a program, not reviewed",
    "rejected": "rejected by reviewers",
    "unfinished": "begun or skipped",
}


def data_card(exported: Exported, pairs: Sequence[Pair], meta: Mapping[str, Any]) -> str:
    """``README.md`` with metadata for the hub. Any text is allowed: it is escaped.

    Args:
        exported: What was exported.
        pairs: All pairs of the set, for agreement.
        meta: The set's (see ``Store.meta``).
    """
    import yaml

    header = {
        "pretty_name": exported.name,
        "license": "other",
        "language": ["en"],
        "task_categories": ["image-to-text", "text-to-image"],
        "tags": ["clip", "clipbench", "inpainting", "image-text-matching"],
        "size_categories": [_size(len(exported.pairs))],
        "configs": [{"config_name": "default", "data_files": [{"split": "test", "path": "data/test-*.parquet"}]}],
    }
    parts = [_summary(exported, meta), *_caveats(exported), *_making(exported), *_figures(pairs), *_licenses(exported)]
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n" + "\n".join(parts) + "\n"


def _summary(exported: Exported, meta: Mapping[str, Any]) -> str:
    there = {text: exported.counts[name] for name, text in _STATUS.items() if name in exported.counts}
    counts = "\n".join(f"| {text} | {count:,} |" for text, count in there.items())
    data, _, place = str(meta["data"]).partition("=")
    return f"""# {markdown_text(exported.name)}

{pluralize(len(exported.pairs), "pair")} of a photograph and the same photograph with one edit that concerns
{markdown_text(meta["concept"])}, each with a caption. Outside of the mask, both are equal to the bit. A model is right
on a pair if each caption is closer to its own picture (Eq. 1 of [Rösch et al. 2024](https://arxiv.org/abs/2403.02875));
chance is 1/4. The columns are those of [InpaintCOCO](https://huggingface.co/datasets/phiyodr/InpaintCOCO).

```console
$ clipbench eval --model MODEL --tasks task.yaml
```

Photographs: {markdown_text(data)} ({markdown_text(place)}).

| pairs of the set | |
|---|---:|
{counts}
| **exported** | **{len(exported.pairs):,}** |
"""


def _caveats(exported: Exported) -> Iterator[str]:
    proposed = [pair for pair in exported.pairs if pair.origin == "proposed" and pair.choice]
    models = sorted({str(pair.choice.details.get("selected_by", "")) for pair in proposed if pair.choice} - {""})
    if not proposed:
        return
    names = ", ".join(map(markdown_text, models))
    yield f"## Not for every model\n\n{pluralize(len(proposed), 'pair')} proposed by a program."
    if models:
        yield (
            f"They were kept because this model saw the change: {names}. **Do not rank that model by this set**, nor"
            " models made from it: its score is high by construction.\n"
        )


def _making(exported: Exported) -> Iterator[str]:
    def table(title: str, values: Counter[str]) -> Iterator[str]:
        yield f"| {title} | pairs |\n|---|---:|"
        yield from (f"| {markdown_text(name) or 'not stated'} | {count:,} |" for name, count in values.most_common())
        yield ""

    chosen = [pair.choice for pair in exported.pairs if pair.choice]
    yield "## How it was made\n"
    yield from table("inpainting", Counter(_model(one.details, "inpainter") for one in chosen))
    yield from table("masks", Counter(_model(pair.mask_details, "segmenter") for pair in exported.pairs))
    yield from table("quality", Counter(pair.rating or "not rated" for pair in exported.pairs))
    yield from table("worker", Counter(pair.annotator for pair in exported.pairs))
    yield "Prompts, seeds, models and settings of each pair are in `inpaint_details` and `mask_details`.\n"


def _figures(pairs: Sequence[Pair]) -> Iterator[str]:
    lines = measure_agreement(pairs).lines()
    yield "## Agreement\n"
    if not lines:
        yield "No pair has been reviewed, and no photograph was given to several annotators.\n"
        return
    yield "| figure | value |\n|---|---|"
    yield from (f"| {markdown_text(label)} | {markdown_text(value)} |" for label, value in lines)
    yield ""


def _licenses(exported: Exported) -> Iterator[str]:
    photographs = {pair.photograph.id: pair.photograph for pair in exported.pairs}
    yield "## Licenses\n\nEach repainted picture is an adaptation under the license of its photograph.\n"
    yield "| license | photographs |\n|---|---:|"
    counts = Counter(one.license for one in photographs.values())
    yield from (f"| {markdown_text(name) or 'not stated'} | {count:,} |" for name, count in counts.most_common())
    yield "\n| photograph | license | source |\n|---|---|---|"
    for one in photographs.values():
        source = one.details.get("flickr_url") or one.details.get("coco_url") or ""
        name = markdown_text(one.id)
        yield f"| {name} | {markdown_text(one.license) or 'not stated'} | {markdown_text(source)} |"


def _model(details: Mapping[str, Any], role: str) -> str:
    revision = f" ({details['revision']})" if details.get("revision") else ""
    return f"{details.get('model') or details.get(role) or ''}{revision}"


def _size(count: int) -> str:
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for bound, name in bounds if count < bound), "100K<n<1M")
