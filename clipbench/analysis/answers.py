"""What runs answered, sample by sample, as their logs say, and on which samples two of them differ."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipbench.errors import ResultError
from clipbench.results.files import samples_path
from clipbench.results.sample_log import logged_samples
from clipbench.types import LoggedSample

Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a run's log says of the ``N`` samples that a metric counts: columns, since there may be millions.

    Attributes:
        places: Sample id to its place in the columns, in the order of the log.
        right: Whether the model was right, ``(N,)``.
        tied: Whether an equal score withheld the win, ``(N,)``.
        clusters: The sample's image, as a number from 0 in the order in which they appear, ``(N,)``.
        contents: Hashes of images and texts, ``(N,)``; they compare within a process.
        offsets: Where the lines begin (``LoggedSample.offset``), ``(N,)``.
    """

    places: dict[str, int]
    right: Flags
    tied: Flags
    clusters: Whole
    contents: Whole
    offsets: Whole

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.places)

    def ids(self, places: Whole) -> list[str]:
        """The samples at these places."""
        names = list(self.places)
        return [names[place] for place in places.tolist()]


def logged_answers(
    path: Path, task: str, metric: str, on_sample: Callable[[LoggedSample], None] = lambda sample: None
) -> Answers:
    """Each sample's answer in the log of a run.

    Args:
        path: The result file.
        task: The task.
        metric: Its primary metric; samples without it are left out (retrieval logs both directions' queries).
        on_sample: Called with every sample, those left out too.

    Raises:
        ResultError: The log cannot be read, or the metric is not 0 or 1 for a sample.
    """
    places: dict[str, int] = {}
    images: dict[str, int] = {}
    right, tied = bytearray(), bytearray()
    clusters, contents, offsets = array("q"), array("q"), array("q")
    for sample in logged_samples(path, task):
        if metric in sample.values:
            value = sample.values[metric]
            if value not in (0, 1):
                raise ResultError(f"{samples_path(path, task)}: {metric} is {value!r}; only 0 and 1 can be compared")
            places[sample.id] = len(places)
            right.append(value == 1)
            tied.append(sample.tied)
            clusters.append(images.setdefault(sample.cluster, len(images)))
            contents.append(hash((sample.images, sample.texts)))
            offsets.append(sample.offset)
        on_sample(sample)
    return Answers(
        places,
        right=np.array(right, dtype=np.bool_),
        tied=np.array(tied, dtype=np.bool_),
        clusters=np.array(clusters, dtype=np.int64),
        contents=np.array(contents, dtype=np.int64),
        offsets=np.array(offsets, dtype=np.int64),
    )


def common_samples(a: Answers, b: Answers) -> tuple[Whole, Whole]:
    """Places in A's and in B's columns of the samples that both scored, in A's order."""
    if list(a.places) == list(b.places):  # as of runs on the same data
        return np.arange(len(a)), np.arange(len(a))
    places = np.fromiter(map(b.places.get, a.places, repeat(-1)), np.int64, len(a))
    common = np.flatnonzero(places >= 0)
    return common, places[common]


@dataclass(frozen=True, slots=True, eq=False)
class SharedSamples:
    """The samples that two runs scored, in A's order.

    Attributes:
        a: Places in A's columns of the ``N`` samples with the same images and texts, ``(N,)``.
        b: Their places in B's columns, ``(N,)``.
        altered: Places in A's columns of samples with one name and other images or texts.
    """

    a: Whole
    b: Whole
    altered: Whole

    def __len__(self) -> int:
        """The number of samples that are the same."""
        return len(self.a)


def shared_samples(a: Answers, b: Answers) -> SharedSamples:
    """Find the samples that both runs scored, with the same images and texts."""
    ours, theirs = common_samples(a, b)
    same = a.contents[ours] == b.contents[theirs]
    return SharedSamples(ours[same], theirs[same], ours[~same])


def differences_by_cluster(a: Answers, b: Answers, shared: SharedSamples) -> tuple[Whole, Whole]:
    """A's wins less B's in each cluster, and its number of samples; of the ``G`` clusters with shared samples.

    Returns:
        Two columns, ``(G,)``.
    """
    clusters = a.clusters[shared.a]
    differences = a.right[shared.a].astype(np.int64) - b.right[shared.b]
    sizes = np.bincount(clusters)
    sums = np.bincount(clusters, weights=differences).astype(np.int64)  # of whole numbers, so exact
    return sums[sizes > 0], sizes[sizes > 0]
