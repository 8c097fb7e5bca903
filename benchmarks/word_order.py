"""Does a model read sentences, or bags of words?

    python benchmarks/word_order.py --model demo [--tasks scenes] [--limit N]

Every task is scored twice, as it is and with the words of every caption shuffled. Prints the primary metrics.
"""

from __future__ import annotations

import argparse

from clipbench import evaluate, load_tasks
from clipbench.scenes.word_order import SUFFIX, with_shuffled_words


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
