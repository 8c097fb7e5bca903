import errno
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

_CACHE = tempfile.TemporaryDirectory(prefix="clipbench-")

# Last, not first: `tests.…` must be found, and clipbench must be the installed one.
sys.path.append(str(Path(__file__).parents[1]))

# The suite builds what it needs; nothing may reach for a hub. Read by the libraries at import.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models here are tiny: a second thread waits more than it computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is kept between runs is kept for this one only.
os.environ["CLIPBENCH_CACHE"] = _CACHE.name
os.environ.setdefault("HF_MODULES_CACHE", str(Path(_CACHE.name) / "modules"))  # code that comes with checkpoints


@pytest.fixture(scope="session")
def coco_folder() -> Path:
    """The official COCO val2017 caption file with some of its photographs."""
    folder = os.environ.get("CLIPBENCH_TEST_DATA")
    if not folder:
        pytest.skip("CLIPBENCH_TEST_DATA does not name a folder with COCO val2017")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved CLIP of seeded random weights, in transformers' format."""
    from tests.seeded import build_clip

    return build_clip(tmp_path_factory.mktemp("models") / "tiny-clip", "tiny", seed=0)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts of names of files that there is no space left for; add to it."""
    names: list[str] = []
    open_file = Path.open

    class Full:
        """Buffers like a file: what cannot be written is known when it is flushed or closed."""

        def __init__(self, handle: Any) -> None:
            self._handle = handle

        def __getattr__(self, name: str) -> Any:
            return getattr(self._handle, name)

        def write(self, data: bytes) -> int:
            return len(data)

        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            if not self._handle.closed:
                self._handle.close()
                self.flush()

    def open_full(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        handle = open_file(self, mode, *arguments, **options)
        return Full(handle) if mode != "rb" and any(name in self.name for name in names) else handle

    monkeypatch.setattr(Path, "open", open_full)
    return names
