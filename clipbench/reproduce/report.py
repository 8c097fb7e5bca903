"""A study's report: the paper's tables, findings and figure from our own numbers, and what was run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from clipbench.errors import ResultError
from clipbench.reproduce.claims import findings_of
from clipbench.reproduce.figure import draw_figures
from clipbench.reproduce.findings import Finding
from clipbench.reproduce.folder import StudyFolder
from clipbench.reproduce.lookup import NOT_TRAINED, Cell, Cells
from clipbench.reproduce.sheets import draw_sheets
from clipbench.reproduce.study import Study
from clipbench.reproduce.tables import Grid, grids_of
from clipbench.results import Results
from clipbench.utils.files import atomic_write

SCHEMA_VERSION = 1
_PLATFORMS = ("Linux-", "macOS-", "Windows-")  # the name of the system tells nothing about numbers


def write_report(study: Study, folder: StudyFolder) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``report.json``, the figure and contact sheets from what is finished.

    Returns:
        The files, the page first.

    Raises:
        ResultError: They cannot be written.
    """
    cells = Cells(study, folder)
    grids, findings = grids_of(cells), findings_of(cells)
    figures = draw_figures(cells, study.figure) if study.figure else []
    problems = _problems(grids)
    sheets = list(draw_sheets(cells, study.contact_sheets, problems)) if study.contact_sheets else []
    facts = {
        "study": study,
        "several": len(study.base_models) > 1,
        "grids": grids,
        "findings": {name: list(group) for name, group in groupby(findings, lambda finding: finding.statement)},
        "figures": [figure.relative_to(folder.path).as_posix() for figure in figures if figure.suffix == ".svg"],
        "trainings": _trainings(cells),
        "problems": problems,
        "overlaps": folder.overlaps()[1],
        "versions": _versions(cells),
    }
    loader = PackageLoader("clipbench.reproduce", "templates")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(text=cell_text, ours=ours_text, theirs=theirs_text, markdown=_markdown)
    drawings = [Markup(path.read_text()) for path in figures if path.suffix == ".svg"]  # noqa: S704  # drawn just now
    page = environment.get_template("study.html").render(**facts, drawings=drawings)
    plain = environment.overlay(autoescape=False).get_template("study.md").render(**facts)
    files = {"report.html": page, "report.md": plain, "report.json": _as_json(study, grids, findings, facts)}
    for name, text in files.items():
        atomic_write(folder.path / name, text)
    return [*(folder.path / name for name in files), *figures, *sheets]


def cell_text(cell: Cell | None) -> str:
    """A cell as text: ours, and in parentheses the published figure with its comparison."""
    if cell is None:
        return ""
    theirs = theirs_text(cell)
    return ours_text(cell) + (f" ({theirs})" if theirs else "")


def ours_text(cell: Cell) -> str:
    """Ours in percent with half its 95 % interval, and the number of seeds if some are missing."""
    estimate = cell.estimate
    if estimate is None:
        return "–"
    margin = "" if math.isnan(estimate.margin) else f" ± {100 * estimate.margin:.1f}"
    part = f", {estimate.seeds} of {cell.seeds} seeds" if estimate.seeds < cell.seeds else ""
    return f"{100 * estimate.value:{'+' if cell.signed else ''}.1f}{margin}{part}"


def theirs_text(cell: Cell) -> str:
    """The published figure in percent, and if it is comparable our difference from it and whether they agree."""
    if cell.published is None:
        return ""
    theirs = f"{100 * cell.published:.0f}"
    if cell.agrees is None or cell.difference is None:
        return theirs
    return f"{theirs}, {100 * cell.difference:+.1f} {'=' if cell.agrees else '≠'}"


def _markdown(text: object) -> str:
    """Text that cannot break a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _trainings(cells: Cells) -> list[dict[str, Any]]:
    """What each training took."""
    rows = []
    for run in cells.runs:
        trained = cells.training(run)
        if trained is None or not trained.is_finished or run.is_interpolated:
            continue
        rows.append(
            {
                "name": run.name,
                "captions": trained.data.get("pairs"),
                "steps": trained.checkpoints[-1][0] if trained.checkpoints else 0,
                "minutes": (trained.seconds or 0) / 60,
                "rate": trained.samples_per_second or 0,
                "memory": (trained.peak_memory_bytes or 0) / 1e9,
                "precision": trained.precision or "",
                "hash": (trained.hash or "")[:16],
                "command": trained.command,
            }
        )
    return rows


def _problems(grids: list[Grid]) -> list[str]:
    """Why cells are empty, each reason once; runs that wait for their training in one line."""
    reasons = dict.fromkeys(reason for grid in grids for cell in grid.cells for reason in cell.problems)
    waiting = [reason.removesuffix(NOT_TRAINED) for reason in reasons if reason.endswith(NOT_TRAINED)]
    others = [reason for reason in reasons if not reason.endswith(NOT_TRAINED)]
    return [*others, *([f"{', '.join(waiting)}{NOT_TRAINED}"] if waiting else [])]


def _versions(cells: Cells) -> dict[str, Any]:
    """All versions of software and tasks in the results."""
    found: list[Results] = []
    for run in cells.runs:
        trained = cells.training(run)
        steps = [0] if run.is_base else [step for step, _ in (trained.checkpoints if trained else [])]
        for step in steps:
            found += [r for task in cells.study.tasks() if (r := cells.results(run, step, task)) is not None]
    lines = dict.fromkeys(line for results in found for line in results.pretty_env_info.splitlines())
    environments = [line for line in lines if not line.startswith(_PLATFORMS)]
    commits = sorted({results.git_hash for results in found if results.git_hash})
    tasks = sorted(
        {
            f"{task} version {result.version}, data {result.data.get('fingerprint')}"
            for results in found
            for task, result in results.tasks.items()
        }
    )
    return {"environment": environments, "commits": commits, "tasks": tasks, "results": len(found)}


def _as_json(study: Study, grids: list[Grid], findings: list[Finding], facts: dict[str, Any]) -> str:
    tables = [
        {
            "id": grid.id,
            "base_model": grid.base_model,
            "columns": grid.columns,
            "spans": grid.spans,
            "rows": [{"titles": titles, "cells": [_cell_json(cell) for cell in row]} for titles, row in grid.rows],
        }
        for grid in grids
    ]
    whole = {
        "schema_version": SCHEMA_VERSION,
        "study": study.model_dump(),
        "tables": tables,
        "findings": [asdict(finding) for finding in findings],
        **{name: facts[name] for name in ("trainings", "problems", "overlaps", "versions")},
    }
    try:
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise ResultError(f"study {study.name}: {error}") from error


def _cell_json(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    estimate = cell.estimate
    return {
        "value": estimate.value if estimate else None,
        "margin": estimate.margin if estimate and not math.isnan(estimate.margin) else None,
        "published": cell.published,
        "difference": cell.difference,
        "agrees": cell.agrees,
        "seeds": {str(value.seed): value.value for value in cell.values},
        "files": [value.file for value in cell.values],
        "problems": cell.problems,
    }
