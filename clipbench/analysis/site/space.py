"""A site as a static Space on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import yaml

from clipbench.analysis.publishing import Upload, check_repo_id
from clipbench.analysis.site.folder import CARD, FOLDERS, site_files


def space_card(title: str) -> str:
    """The card of a static Space."""
    facts = {"title": title, "emoji": "📊", "colorFrom": "blue", "colorTo": "indigo", "sdk": "static", "pinned": False,
             "tags": ["clip", "clipbench", "leaderboard"]}  # fmt: skip
    front = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\nA leaderboard made by clipbench. `leaderboard.json` holds all numbers.\n"


def site_upload(folder: Path, repo_id: str) -> Upload:
    """The files of a site; of an earlier site in the Space, pages and images that are no longer there are removed.

    Raises:
        ConfigError: A repository cannot have this name.
        ResultError: The folder holds no site.
    """
    check_repo_id("`space`", repo_id)
    files = site_files(folder)
    card = folder / CARD
    return Upload(
        repo_id,
        "space",
        dict(files),
        card=card.read_text(encoding="utf-8") if card.is_file() else None,
        replaced=tuple(f"{name}/" for name in FOLDERS),
        message="Leaderboard of clipbench",
    )
