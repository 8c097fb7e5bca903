"""The SQLite file of a set: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from clipbench.errors import ConfigError, ResultError

DATABASE: Final = "annotations.sqlite"
VERSION: Final = 1
APPLICATION: Final = 0x434C4950  # "CLIP", in SQLite's header: tells a set from any other database
_WAIT: Final = 60.0  # seconds for another process's transaction
SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE photographs (
  id TEXT PRIMARY KEY, place INTEGER NOT NULL, captions TEXT NOT NULL, details TEXT NOT NULL,
  problem TEXT NOT NULL DEFAULT ''
);
CREATE INDEX photographs_in_order ON photographs (place);
CREATE TABLE pairs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, photograph TEXT NOT NULL REFERENCES photographs (id),
  annotator TEXT NOT NULL, holder TEXT NOT NULL, origin TEXT NOT NULL, step TEXT NOT NULL,
  image TEXT NOT NULL DEFAULT '', caption TEXT NOT NULL DEFAULT '',
  mask_prompts TEXT NOT NULL DEFAULT '[]', mask TEXT NOT NULL DEFAULT '', mask_details TEXT NOT NULL DEFAULT '{}',
  prompts TEXT NOT NULL DEFAULT '[]', keyword TEXT NOT NULL DEFAULT '', replacement TEXT NOT NULL DEFAULT '',
  seeds INTEGER NOT NULL DEFAULT 0, chosen INTEGER, rating TEXT NOT NULL DEFAULT '',
  new_caption TEXT NOT NULL DEFAULT '', started REAL NOT NULL, finished REAL,
  UNIQUE (photograph, annotator)
);
CREATE TABLE candidates (
  id INTEGER PRIMARY KEY AUTOINCREMENT, pair INTEGER NOT NULL REFERENCES pairs (id), image TEXT NOT NULL,
  mask TEXT NOT NULL, prompt TEXT NOT NULL, keyword TEXT NOT NULL, replacement TEXT NOT NULL, seed INTEGER NOT NULL,
  details TEXT NOT NULL, notes TEXT NOT NULL, seconds REAL, UNIQUE (pair, seed)
);
CREATE TABLE reviews (
  pair INTEGER NOT NULL REFERENCES pairs (id), reviewer TEXT NOT NULL, decision TEXT NOT NULL,
  caption TEXT NOT NULL, chosen INTEGER NOT NULL, new_caption TEXT NOT NULL, time REAL NOT NULL,
  PRIMARY KEY (pair, reviewer)
);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open a set's file, or make an empty one.

    Raises:
        ConfigError: It cannot be opened, or is no database.
        ResultError: It cannot be written.
    """
    try:
        # One connection for all threads, behind the store's mutex; transactions are begun and ended by hand.
        connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: cannot be opened: {error}") from None
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # WAL's default may lose the last steps when power fails
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.OperationalError as error:  # read-only, full, locked for longer than we wait
        connection.close()
        raise ResultError(f"{path}: cannot be used: {error}") from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise ConfigError(f"{path}: no set of annotations: {error}") from None
    return connection


def file_id(path: Path) -> tuple[int, int] | None:
    """Tells a file from any other that takes its place; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether anything was made in a database."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def check_version(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse any other database, and a set of another version.

    Raises:
        ConfigError: It is one.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise ConfigError(f"{folder / DATABASE}: no set of annotations: give another output_path")
    if version != VERSION:
        raise ConfigError(
            f"{folder}: a set of version {version}, and this clipbench reads {VERSION}: use the clipbench that made it,"
            " or another output_path"
        )
