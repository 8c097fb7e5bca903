"""All benchmarks by one command, their figures in one file.

    python -m benchmarks list
    python -m benchmarks all --data coco=COCO_FOLDER --data flickr8k=FLICKR8K_FOLDER
    python -m benchmarks start engine --data coco=COCO_FOLDER --rounds 3 --resume
    python -m benchmarks gpu
    python -m benchmarks compare RESULTS.json [--against OLDER.json] [--strict]
    python -m benchmarks docs RESULTS.json [MORE.json]

Runs the scripts of this folder in turn, each in a process of its own, and stores what they measured with the facts of
the machine as one JSON, in benchmarks/results/, a file a day and machine, or in --output. Benchmarks in that file that
are not run now stay in it. What needs data, a package or a GPU that is not there is skipped, with the reason; what
fails does not stop the others. Afterwards the figures are compared with those of another run: what got worse by more
than a tenth is told. `docs` puts figures and a plot into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.suite.catalog import CATALOG, Benchmark, chosen
from benchmarks.suite.comparison import compare
from benchmarks.suite.machine import machine_facts, same_machine, software_facts
from benchmarks.suite.report import Report, default_path, newest, read_report
from benchmarks.suite.running import Settings, run_benchmarks


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", metavar="WHAT", help="list, all, docs, compare, or benchmarks by name")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER", help="coco, flickr8k")
    parser.add_argument("--rounds", type=int, help="otherwise each benchmark's own number")
    parser.add_argument("--output", type=Path, metavar="FILE", help="otherwise in benchmarks/results/")
    parser.add_argument("--resume", action="store_true", help="leave out what the file has already")
    parser.add_argument("--against", type=Path, metavar="FILE", help="otherwise the newest of this processor")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if something got worse by more than 10 %%")
    parser.add_argument(
        "--tiny", action="store_true", help="see that those for a GPU work, without one; stored nowhere"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    options = _parsed(arguments)
    try:
        return _do(options)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def _do(options: argparse.Namespace) -> int:
    first, *names = options.what
    files = [Path(name) for name in names]
    if first == "list":
        for benchmark in CATALOG:
            print(f"{benchmark.name:16} {benchmark.shown()}")
        return 0
    if first == "docs":
        from benchmarks.suite.page import write_page

        write_page(files)
        return 0
    if first == "compare":
        if len(files) != 1:
            raise ValueError("compare: name one file, and the other with --against")
        return _compare(read_report(files[0]), files[0], options)
    return _run(chosen(options.what), options)


def _run(benchmarks: tuple[Benchmark, ...], options: argparse.Namespace) -> int:
    """Run them and compare."""
    data = dict(_pair(given) for given in options.data)
    machine, software = machine_facts(), software_facts()
    fresh = Report(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}", machine, software)
    path = options.output or default_path(fresh.date, machine)
    settings = Settings(data, options.rounds, options.resume, options.tiny)
    if options.tiny:
        with tempfile.TemporaryDirectory() as folder:
            run_benchmarks(benchmarks, fresh, Path(folder) / "tiny.json", settings, _say)
        return _status(fresh, benchmarks)
    report = read_report(path) if path.exists() else fresh
    if not same_machine(report.machine, machine):
        raise ValueError(f"{path} is of another machine: name another --output")
    report.software = software
    run_benchmarks(benchmarks, report, path, settings, _say)
    return max(_status(report, benchmarks), _compare(report, path, options))


def _status(report: Report, benchmarks: tuple[Benchmark, ...]) -> int:
    """1 if one of these failed."""
    return int(any(report.benchmarks[each.name].status == "failed" for each in benchmarks))


def _compare(report: Report, path: Path, options: argparse.Namespace) -> int:
    """Tell what got worse; 1 if that is asked for and something did."""
    against = options.against or newest(report.machine, without=path)
    if against is None:
        print("No other run of this processor to compare with.")
        return 0
    comparison = compare(read_report(against), report)
    print(f"\nCompared with {against}:", *comparison.lines(), sep="\n")
    return int(options.strict and bool(comparison.worse))


def _pair(given: str) -> tuple[str, str]:
    name, separator, place = given.partition("=")
    if not separator or not Path(place).is_dir():
        raise ValueError(f"--data {given}: give NAME=FOLDER, with a folder that is there")
    return name, str(Path(place).resolve())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
