"""Keeps what the tests convert out of the user's cache, and the hub's fixture within reach."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from tests.hub.fixtures import hub

__all__ = ["hub"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    datasets.disable_progress_bars()
    return cache
