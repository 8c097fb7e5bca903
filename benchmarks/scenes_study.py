"""What hard negatives do for the demo model, against classical training, and what interpolation saves.

    python benchmarks/scenes_study.py --output_path out [--concepts location,size,color,object] [--seeds 0,1,2]

From the demo model, text tower and logit scale are trained on the captions of the train split that hold a keyword of
one concept: with no hard negative (Clas.) and with one, two and three (HN1, HN2, HN3), where every keyword has so many
replacements. Batches, steps and rates are the same. The image tower stays as it is. Models and scores are kept in the
output folder and recognised when the command is run again, so several may share the work: `--concepts`, `--seeds`.
All scores are of the test split.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import clipbench
from clipbench.concepts import load_concept
from clipbench.evaluation import Evaluation
from clipbench.results import Results, read_results, write_atomically
from clipbench.training.interpolation import interpolate
from clipbench.training.preparing import FinetuneOptions

ALPHAS = (0.5, 0.75)


def tasks_of(concept: str) -> dict[str, tuple[str, str]]:
    """Column to task and metric."""
    columns = {"ranking": (f"scenes_{concept}", "acc"), "T2I R@5": ("scenes_retrieval", "t2i_recall@5")}
    if concept != "location":
        columns["inpaint"] = (f"scenes_inpaint_{concept}", "acc")
    return columns


def negatives_of(concept: str) -> list[int]:
    """0, 1 and, where every keyword has so many replacements, 2 and 3."""
    fewest = min(map(len, load_concept(concept).substitutions.values()))
    return [number for number in range(4) if number <= fewest]


class Study:
    """The models and scores of an output folder, made where they are not there yet."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self._evaluations: dict[str, Evaluation] = {}

    def trained(self, concept: str, negatives: int, seed: int) -> Path:
        """The folder of a trained model."""
        given = self.options
        folder: Path = given.output_path / f"{concept}-hn{negatives}-seed{seed}"
        if not (folder / "README.md").is_file():
            how = FinetuneOptions("scenes", device=given.device, cache=given.cache)
            clipbench.finetune(
                "demo", "scenes", concept, folder, options=how, negatives=negatives, seed=seed, freeze=("image",),
                batch_size=given.batch_size, max_steps=given.steps, checkpoint_every=100,
                learning_rate=given.learning_rate, warmup_steps=given.steps // 10, cooldown_steps=3 * given.steps // 10,
            )  # fmt: skip
        return folder

    def scores(self, concept: str, model: str | Path, alpha: float = 1.0) -> Results:
        """Scores of a model, or of the way to it from the demo model."""
        place = Path(model) / "scores" if isinstance(model, Path) else self.options.output_path / "orig"
        file = place / f"{concept}-alpha-{alpha:.2f}.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            if concept not in self._evaluations:
                self._evaluations[concept] = Evaluation([task for task, _ in tasks_of(concept).values()])
            write_atomically(file, self._score(concept, str(model), alpha).to_json())
        return read_results(file)

    def _score(self, concept: str, name: str, alpha: float) -> Results:
        model, evaluation = clipbench.load_model(name, device=self.options.device), self._evaluations[concept]
        if alpha == 1:
            return evaluation.score(model)
        base = clipbench.load_model("demo", device=self.options.device)
        _, between = next(ways := interpolate(base, model, [alpha]))
        results = evaluation.score(between)
        ways.close()
        return results

    def rows(self, concept: str) -> Iterator[tuple[str, list[Results]]]:
        """Lines of the table: a title and the results of each seed."""
        seeds = [int(seed) for seed in self.options.seeds.split(",")]
        yield "Orig.", [self.scores(concept, "demo")]
        for negatives in negatives_of(concept)[: self.options.most_negatives + 1]:
            folders = [self.trained(concept, negatives, seed) for seed in seeds]
            yield f"HN{negatives}" if negatives else "Clas.", [self.scores(concept, folder) for folder in folders]
        for alpha in ALPHAS:
            folders = [self.trained(concept, 1, seed) for seed in seeds]
            yield f"HN1, α = {alpha}", [self.scores(concept, folder, alpha) for folder in folders]

    def finished(self, concept: str) -> Iterator[tuple[str, list[Results]]]:
        """The same from what is there, for all seeds of the output folder."""
        seeds = {int(path.name.rpartition("seed")[2]) for path in self.options.output_path.glob(f"{concept}-*-seed*")}
        folder = self.options.output_path
        yield "Orig.", [self.scores(concept, "demo")]
        for negatives, alpha in [*((negatives, 1.0) for negatives in negatives_of(concept)), *((1, a) for a in ALPHAS)]:
            files = [
                folder / f"{concept}-hn{negatives}-seed{seed}/scores/{concept}-alpha-{alpha:.2f}.json" for seed in seeds
            ]
            title = f"HN{negatives}" if negatives else "Clas."
            yield title if alpha == 1 else f"{title}, α = {alpha}", [read_results(f) for f in files if f.is_file()]


def cell(results: list[Results], task: str, metric: str) -> str:
    """The mean over seeds in percent, and their standard deviation."""
    values = [100 * found.metric(task, metric) for found in results]
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    """Train and score what is not there, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_path", type=Path, required=True)
    parser.add_argument("--concepts", default="location,size,color,object")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--cache", type=Path, help="folder of decoded images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--most_negatives", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    study = Study(options := parser.parse_args())
    print("| concept | model | ranking | inpaint | T2I R@5 |\n|---|---|---:|---:|---:|", flush=True)
    for concept in options.concepts.split(","):
        columns = tasks_of(concept)
        for title, results in study.finished(concept) if options.table else study.rows(concept):
            title = f"{title} ({len(results)} seeds)" if len(results) > 1 else title
            found = [
                cell(results, *columns[name]) if name in columns else "" for name in ("ranking", "inpaint", "T2I R@5")
            ]
            print(f"| {concept} | {title} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
