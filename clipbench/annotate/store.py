"""A set of annotations on disk: a SQLite file, and pictures by their content.

Every step is one transaction that is on the disk before its method returns, so a process may be killed at any moment.
Several processes, and several threads of each, may use a set at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from clipbench.annotate.database import (
    APPLICATION,
    DATABASE,
    SCHEMA,
    VERSION,
    check_version,
    connect,
    file_id,
    has_tables,
)
from clipbench.annotate.liveness import Liveness
from clipbench.annotate.records import Photograph
from clipbench.concepts import Concept
from clipbench.errors import ConfigError, DataError, ResultError
from clipbench.utils.files import atomic_write

if TYPE_CHECKING:
    from PIL import Image

    from clipbench.types import ImageRef

IMAGES: Final = "images"
_IMAGE_NAME: Final = re.compile(r"[0-9a-f]{64}\.(png|jpg)")
_ADD: Final = (
    "INSERT INTO photographs (id, place, captions, details) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET problem = ''"
)
_ADD_AGAIN: Final = f"{_ADD}, details = excluded.details"
NO_REFS: Final[Mapping[str, ImageRef]] = MappingProxyType({})


class Store:
    """An open set.

    Args:
        folder: The set's folder, which holds a set (see ``create``).
        refs: The photographs by id, where they are to be handed out.

    Attributes:
        folder: As given.
        refs: As given.
        concept: The set's concept, with the replacements that are painted.
        name: Tells this open store from any other; pairs in annotators' hands carry it.

    Raises:
        ConfigError: The folder holds no set, or one of another version of clipbench.
    """

    def __init__(self, folder: Path, refs: Mapping[str, ImageRef] = NO_REFS) -> None:
        if not (folder / DATABASE).is_file():
            raise ConfigError(f"{folder}: no set of annotations: `clipbench annotate` makes one")
        self.folder, self.refs, self.name = folder, refs, uuid.uuid4().hex
        self._mutex = threading.RLock()
        self._connection = connect(folder / DATABASE)
        self._file = file_id(folder / DATABASE)
        self._alive = Liveness(folder / ".open", self.name)
        try:
            check_version(self._connection, folder)
            meta = self.meta()
        except BaseException:
            self.close()
            raise
        self.concept = Concept(meta["concept"], {word: tuple(them) for word, them in meta["replacements"].items()})

    def close(self) -> None:
        """Close the file; pairs in the hands of this store's sessions can be taken up by others."""
        self._connection.close()
        self._alive.end()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's changes or none, and no other process's in between.

        Raises:
            ResultError: The disk is full, the file cannot be written, or it was moved or deleted.
        """
        with self._mutex:
            if file_id(self.folder / DATABASE) != self._file:  # SQLite would go on writing, into nothing
                raise ResultError(
                    f"{self.folder}: the set was moved or deleted since it was opened, so nothing can be kept in it:"
                    " put it back, and start again"
                )
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise ResultError(f"{self.folder / DATABASE}: cannot be written: {error}") from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def meta(self) -> dict[str, Any]:
        """What the set is: concept, data, seed, and so on."""
        with self.transaction() as db:
            return {row["key"]: json.loads(row["value"]) for row in db.execute("SELECT key, value FROM meta")}

    def set_meta(self, key: str, value: object) -> None:
        """Set one of ``meta``'s values."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def add_photographs(self, photographs: Iterable[Photograph], *, overwrite: bool = False) -> None:
        """Add photographs that the set does not have yet; those that could not be read are given another chance.

        They are handed out in a random order that the set's seed and their ids decide, whichever others there are.

        Args:
            photographs: The data's.
            overwrite: Replace what is known of those that the set has.
        """
        seed = self.meta()["seed"]
        rows = [_row(_place(seed, one.id), one) for one in photographs]
        with self.transaction() as db:
            db.executemany(_ADD_AGAIN if overwrite else _ADD, rows)

    def is_open(self, name: str) -> bool:
        """Whether the store of this ``name`` is still open, in this process or another."""
        return name == self.name or self._alive.is_alive(name)

    def put_file(self, content: bytes, suffix: str) -> str:
        """Keep a picture's file by its content.

        Returns:
            Its name in ``images``.

        Raises:
            ResultError: It cannot be written.
        """
        name = f"{hashlib.sha256(content).hexdigest()}.{suffix}"
        path = self.image_path(name)
        if not path.exists():
            with suppress(OSError):  # writing the file says why
                path.parent.mkdir(exist_ok=True)
            atomic_write(path, content)
        return name

    def put_image(self, image: Image.Image) -> str:
        """Keep a picture without loss, as PNG; returns its name."""
        file = io.BytesIO()
        image.save(file, "PNG")
        return self.put_file(file.getvalue(), "png")

    def put_mask(self, mask: NDArray[np.bool_]) -> str:
        """Keep a mask, (H, W), as PNG of 0 and 255; returns its name."""
        from PIL import Image

        return self.put_image(Image.fromarray(mask.astype(np.uint8) * 255))

    def image_path(self, name: str) -> Path:
        """The file of a picture.

        Raises:
            DataError: No such name is possible.
        """
        if not _IMAGE_NAME.fullmatch(name):
            raise DataError(f"{name[:80]!r}: no picture of this set")
        return self.folder / IMAGES / name

    def image(self, name: str) -> Image.Image:
        """A picture, RGB.

        Raises:
            DataError: Its file is missing or damaged.
        """
        from clipbench.data.images import decode

        return decode(self.image_path(name), f"{IMAGES}/{name}")

    def mask(self, name: str) -> NDArray[np.bool_]:
        """A mask, (H, W).

        Raises:
            DataError: Its file is missing or damaged.
        """
        return np.asarray(self.image(name).convert("L")) > 127


def create(folder: Path, meta: Mapping[str, Any], photographs: Iterable[Photograph] = ()) -> None:
    """Make a set, all at once: another process finds none, or the whole.

    Args:
        folder: Made if missing. A set that is already there is left as it is.
        meta: What the set is; JSON.
        photographs: In the order in which they are handed out, before those that are added later.

    Raises:
        ConfigError: The folder cannot be made, or its database is no set.
        ResultError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_path {folder}: cannot be made: {error.strerror}") from None
    connection = connect(folder / DATABASE)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0 and not has_tables(connection):
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in meta.items()])
            connection.executemany(_ADD, [_row(place, one) for place, one in enumerate(photographs)])
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise ResultError(f"{folder / DATABASE}: cannot be written: {error}") from error
    finally:
        connection.close()


def _row(place: int, one: Photograph) -> tuple[str, int, str, str]:
    return one.id, place, json.dumps(one.captions), json.dumps(dict(one.details))


def _place(seed: int, photograph: str) -> int:
    """Where a photograph is in the random order; SQLite's integers have 63 bits and a sign."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{photograph}".encode()).digest()[:8], "big") >> 1
