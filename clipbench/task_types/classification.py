"""Zero-shot classification: one image against the prompts of all classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from clipbench.data.dataset import Dataset, HubTable, Source
from clipbench.errors import ConfigError, DataError
from clipbench.task_types.base import Task
from clipbench.types import LoggedSample, Row, Sample, SampleError, SampleResult
from clipbench.utils.registry import close_matches

if TYPE_CHECKING:
    from clipbench.inference.scorer import EncodedSample, Scorer
    from clipbench.metrics import Floats

_PROMPTS = 4096  # encoded at once
_IMAGES = 256  # compared with all classes at once
_TEMPLATES = ("a photo of a {}.",)
_LOGGED = 5  # classes per sample: the true one, and the best others


class ClassificationTask(Task):
    """Zero-shot classification as CLIP does it (Radford et al. 2021, arXiv 2103.00020, §3.1.4).

    A class is represented by the normalized mean of its prompts' unit features. ``acc1`` and ``acc5``: the image's
    class is the most similar one, or among the first five; classes with equal scores rank ahead of it.
    ``mean_per_class_recall``: the mean of ``acc1`` over classes.

    Attributes:
        class_names: The classes in the order of the labels, or ``module:NAME`` for a library's list; by default those
            of the data.
        templates: Prompts with ``{}`` for the class, or ``module:NAME`` for a library's list; they may be functions of
            a class name. By default those of the data, or ``a photo of a {}.``.
    """

    task_type = "classification"
    metrics = ("acc1", "acc5", "mean_per_class_recall")
    primary_metric = "acc1"
    balanced_metrics: ClassVar[Mapping[str, str]] = {"mean_per_class_recall": "acc1"}
    hub_task = ("zero-shot-image-classification", "Zero-shot classification")
    class_names: ClassVar[Sequence[str] | str] = ()
    templates: ClassVar[Sequence[str] | str] = ()

    _classes: tuple[str, ...] = ()
    _places: Mapping[str, int] = {}  # class name to its number, the first where two classes share a name
    _templates: tuple[object, ...] = ()

    @classmethod
    def of_tars(
        cls, name: str, title: str, repo: str, expected_n: int, citation: str, *references: str, **attributes: object
    ) -> type[Task]:
        """Declare a benchmark that CLIP_benchmark publishes as WebDataset tars.

        Args:
            name: The name of the task and of its data set.
            title: What people call the data set.
            repo: The repository of ``clip-benchmark`` on the hub.
            expected_n: Images in the test split.
            citation: The data set's citation.
            *references: Keys of its BibTeX entries, as in ``Dataset``.
            **attributes: Further attributes of the task.
        """
        dataset = Dataset(
            name=name,
            title=title,
            hub=HubTable(f"clip-benchmark/{repo}", "main", "test", ("jpg",), (), label="cls"),
            layouts=("webdataset", "class_folders"),
            license="As the original data set's; see its home page.",
            citation=citation,
            references=references,
            homepage=f"https://huggingface.co/datasets/clip-benchmark/{repo}",
            instructions="give CLIP_benchmark's tars with classnames.txt, or a folder per class",
        )
        return cls.declare(name, citation, dataset=dataset, expected_n=expected_n, **attributes)

    def samples(self, source: Source) -> Iterator[Sample]:
        """Yield one sample for each image; its group is its class."""
        self._classes, self._templates = self._classes_of(source), self._templates_of(source)
        self._places = {name: place for place, name in reversed(list(enumerate(self._classes)))}
        for row in source.rows(where=self.where):
            if len(row.images) != 1:
                raise DataError(f"row {row.id} has {len(row.images)} images: classification takes one per row")
            place = self._place(row)
            group = self._classes[place] if place is not None else ""
            yield Sample(row.id, row.images, (), group, row.images[0].key)

    def _classes_of(self, source: Source) -> tuple[str, ...]:
        names = _resolved(self.class_names, f"task {self.name}: class_names") or getattr(source, "class_names", ())
        if not names:
            raise ConfigError(f"task {self.name}: neither the task nor its data names the classes: set class_names")
        names = tuple(map(str, names))
        if len(names) < 2:
            raise ConfigError(f"task {self.name}: only one class: there is nothing to choose between")
        return names

    def _templates_of(self, source: Source) -> tuple[object, ...]:
        declared = _resolved(self.templates, f"task {self.name}: templates") or getattr(source, "templates", ())
        for template in declared:
            if isinstance(template, str) and "{}" not in template and "{c}" not in template:
                raise ConfigError(f"task {self.name}: template {template!r} has no {{}} for the class")
        return tuple(declared) or _TEMPLATES

    def _place(self, row: Row) -> int | None:
        """The row's class by name or by number; None if it has none, or there is no class of this number.

        Raises:
            DataError: The label is neither a class nor a number.
        """
        value = row.fields.get("label", row.captions[0] if row.captions else None)
        if value is None:
            return None
        label = str(value)
        if label in self._places:
            return self._places[label]
        if not label.lstrip("-").isdecimal():
            known = f"{close_matches(label, self._places)} among the {len(self._places)}"
            raise DataError(f"row {row.id}: no class {label!r}{known}")
        return int(label) if 0 <= int(label) < len(self._classes) else None

    def invalid_reason(self, sample: Sample) -> str | None:
        """The label is not one of the classes."""
        return None if sample.group else f"its label is none of the {len(self._classes)} classes"

    def outcomes(
        self, samples: Iterable[Sample], scorer: Scorer, namespace: str
    ) -> Iterator[SampleResult | SampleError]:
        """Encode the classes once, after the first images, and compare every image with all of them."""
        waiting: list[EncodedSample] = []
        classes: Floats | None = None
        for encoded in scorer.features(samples, namespace):
            if isinstance(encoded.features, SampleError):
                yield encoded.features
                continue
            waiting.append(encoded)
            if len(waiting) == _IMAGES:
                classes = self.class_features(scorer) if classes is None else classes
                yield from self._results(waiting, classes)
                waiting = []
        if waiting:
            yield from self._results(waiting, self.class_features(scorer) if classes is None else classes)

    def class_features(self, scorer: Scorer) -> Floats:
        """The classes' unit features, ``(K, D)``: the normalized mean of unit features over templates."""
        import numpy as np

        prompts = [[_filled(template, name) for template in self._templates] for name in self._classes]
        size = max(1, _PROMPTS // len(prompts[0]))
        means = []
        for start in range(0, len(prompts), size):
            some = prompts[start : start + size]
            rows = scorer.text_features([text for texts in some for text in texts]).astype(np.float64)
            mean = rows.reshape(len(some), len(prompts[0]), -1).mean(axis=1)
            means.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
        return np.concatenate(means).astype(np.float32)

    def _results(self, encoded: Sequence[EncodedSample], classes: Floats) -> Iterator[SampleResult]:
        import numpy as np

        from clipbench.metrics import best_rank, cosine_similarity

        images = np.concatenate([one.features for one in encoded if not isinstance(one.features, SampleError)])
        for one, scores in zip(encoded, cosine_similarity(images, classes), strict=True):
            own = self._places[one.sample.group]
            rank, tied = best_rank(scores, np.array([own]))
            yield self._result(one.sample, scores, own, rank, tied)

    def _result(self, sample: Sample, scores: Floats, own: int, rank: int, tied: bool) -> SampleResult:
        import numpy as np

        order = np.argsort(-scores, kind="stable")
        shown = [own, *[int(place) for place in order if place != own][: _LOGGED - 1]]
        values = {"acc1": float(rank <= 1), "acc5": float(rank <= 5)}
        record = {
            "images": [sample.images[0].key],
            "texts": [self._classes[place] for place in shown],
            "scores": [float(scores[place]) for place in shown],
            "rank": rank,
        }
        return SampleResult(
            sample.id, values, rank <= 1, 1 / len(scores), tied, sample.group, sample.cluster, record
        )  # fmt: skip

    def rescore(self, sample: LoggedSample) -> Mapping[str, float]:
        """Use the rank, because the scores of all classes are not logged."""
        rank = int(sample.values["rank"])
        return {"acc1": float(rank <= 1), "acc5": float(rank <= 5)}

    @classmethod
    def confusion(cls, sample: LoggedSample) -> tuple[str, str]:
        """The image's class, and the most similar one."""
        scores = sample.scores[0]
        others = max(range(1, len(scores)), key=scores.__getitem__)
        return sample.texts[0], sample.texts[0 if sample.correct else others]


def _resolved(declared: Sequence[str] | str, what: str) -> Sequence[object]:
    """The list itself, or the library's list that a declaration names."""
    if not isinstance(declared, str):
        return declared
    module, _, name = declared.partition(":")
    try:
        found: Sequence[object] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{what} {declared!r}: no such list: {error}") from None
    return found


def _filled(template: object, name: str) -> str:
    if callable(template):
        return str(template(name))
    return str(template).replace("{}", name).replace("{c}", name)
