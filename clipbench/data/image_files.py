"""Image files in a folder, with one name for each, however its path is spelled."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from clipbench.data.records import file_ref
from clipbench.errors import DataError
from clipbench.types import ImageRef
from clipbench.utils.files import local_path

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".mpo")
)


class ImageFiles:
    """Image files in a folder. Each folder is listed once, because checking every file is slow on network disks.

    Args:
        root: What names are relative to.
        empty_is_missing: Also check the size of requested files, because downloaders leave empty files for
            dead links.
    """

    def __init__(self, root: Path, *, empty_is_missing: bool = False) -> None:
        self.root = root
        self._base = os.path.abspath(root)  # noqa: PTH100 (links are kept)
        self._empty_is_missing = empty_is_missing
        self._names: dict[str, frozenset[str]] = {}

    def names(self, folder: str = "") -> frozenset[str]:
        """Names of the entries of a folder, given relative to the root; empty if the folder does not exist."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(
                    os.listdir(self.root / folder)  # noqa: PTH208 (names are wanted, 118 k of them)
                )
            except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL byte or lone surrogate
                self._names[folder] = frozenset()
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return frozenset()
                raise DataError(f"cannot list {self.root / folder}: {error.strerror}") from error
        return self._names[folder]

    def has(self, name: str) -> bool:
        """Whether the file exists (and is not empty, if empty files count as missing)."""
        folder, _, base = name.rpartition("/")
        if base not in self.names(folder):
            return False
        if not self._empty_is_missing:
            return True
        try:
            return (self.root / name).stat().st_size > 0
        except OSError:
            return False

    def ref(self, name: str) -> ImageRef:
        """A reference to the file ``name``, whose path may be spelled in any way (see ``relative_name``)."""
        name = _with_slashes(name)
        key = relative_name(self._base, name)
        # Outside the root, the path keeps its spelling: "folder/.." is another place if the folder is a link.
        place = name if key.startswith("..") else key
        if place != place.strip() and not self.has(place):
            place, key = place.strip(), key.strip()
        key = key.encode("utf-8", "backslashreplace").decode()
        return file_ref(self.root / place, key, missing=not self.has(place))

    def refs(self, name: str) -> tuple[ImageRef, ...]:
        """The images of a row that has one image file."""
        return (self.ref(name),)


def relative_name(root: str, name: str) -> str:
    r"""The normalized spelling of a path, relative to a folder, with ``/``.

    Two spellings of a file must not be two images, or retrieval would count one of them as wrong.

    Examples:
        >>> spellings = ("img/a.jpg", "./img//a.jpg", "img/../img/a.jpg", "img\\a.jpg", "file:///data/img/a.jpg")
        >>> {relative_name("/data", name) for name in spellings}
        {'img/a.jpg'}

    Args:
        root: The folder, as an absolute path.
        name: A path, relative to the folder or absolute; also a Windows path, one from ``~``, or a ``file://`` URL.
    """
    full = os.path.normpath(os.path.join(root, _with_slashes(name)))  # noqa: PTH118 (a million names)
    if full.startswith(root + os.sep):
        return full[len(root) + 1 :].replace(os.sep, "/")
    try:
        return os.path.relpath(full, root).replace(os.sep, "/")
    except ValueError:  # on another drive
        return full


def _with_slashes(name: str) -> str:
    """A path with ``/``, and with ``~`` and ``file://`` resolved."""
    if name.startswith("~") or name[:7].lower() == "file://":
        name = str(local_path(name))
    return name.replace("\\", "/")
