"""Does a model read sentences, or bags of words?

    python benchmarks/word_order.py --model demo [--tasks scenes] [--limit N]

Every task is scored twice: as it is, and with the words of every caption shuffled, which does not affect a model
that reads captions as bags of words (Yuksekgonul et al. 2023, arXiv 2210.01936, section 2). Prints the primary metrics.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from dataclasses import replace

from clipbench import evaluate, load_tasks
from clipbench.data import Source
from clipbench.task_types.base import Task
from clipbench.types import Sample

SUFFIX = "_shuffled"


def shuffled(text: str, seed: str) -> str:
    """The words of a text in an order that depends only on the seed and the word count; punctuation is dropped.

    >>> sorted(shuffled("A cup, a cat.", "7").split())
    ['A', 'a', 'cat', 'cup']
    """
    words = re.findall(r"[\w'-]+", text)
    random.Random(seed).shuffle(words)  # a scientific shuffle, no secret
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


def main() -> None:
    """Score, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks", default="scenes")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    tasks = load_tasks(options.tasks)
    results = evaluate(options.model, [*tasks, *map(with_shuffled_words, tasks)], limit=options.limit)
    print("| task | metric | as written | shuffled |\n|---|---|---|---|")
    for task in tasks:
        written, mixed = (results.metric(name, task.primary_metric) for name in (task.name, task.name + SUFFIX))
        print(f"| `{task.name}` | {task.primary_metric} | {written:.3f} | {mixed:.3f} |")


if __name__ == "__main__":
    main()
