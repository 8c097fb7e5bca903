"""Tasks with the words of every caption shuffled: a model that reads a caption as a bag of words does not mind.

The check of Yuksekgonul et al. 2023, arXiv 2210.01936, section 2; `benchmarks/word_order.py` runs it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from clipbench.data.dataset import Source
from clipbench.types import Sample

if TYPE_CHECKING:
    from clipbench.task_types.base import Task

SUFFIX = "_shuffled"


def shuffled(text: str, seed: str) -> str:
    """The words of a text in an order that depends on the seed and their number only; punctuation is left out.

    >>> sorted(shuffled("A cup, a cat.", "7").split())
    ['A', 'a', 'cat', 'cup']
    """
    words = re.findall(r"[\w'-]+", text)
    random.Random(seed).shuffle(words)  # noqa: S311  # a scientific shuffle, no secret
    return " ".join(words)


def with_shuffled_words(task: Task) -> Task:
    """The same task, `NAME_shuffled`, with the words of every text shuffled.

    All texts of a sample with equally many words are shuffled alike: a variant stays one substitution away from its
    caption. In retrieval each caption of a picture has an order of its own.
    """

    def samples(self: Task, source: Source) -> Iterator[Sample]:
        for sample in task.samples(source):
            texts = [
                shuffled(text, f"{sample.id} {number if task.whole_set else 0}")
                for number, text in enumerate(sample.texts)
            ]
            yield replace(sample, texts=texts)

    made = type(f"Shuffled{type(task).__name__}", (type(task),), {"name": task.name + SUFFIX, "samples": samples})
    shuffled_task: Task = made()
    return shuffled_task
