"""What the loopback hub serves: repositories made of folders, with commits, branches and tags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

Kind = Literal["model", "dataset", "space"]
Json = dict[str, object]

DATE = "2024-03-05T00:00:00.000Z"
LARGE_SUFFIXES = {".bin", ".safetensors", ".pt", ".parquet", ".arrow", ".jpg", ".png", ".zip"}
"""The hub keeps these outside git: it redirects to another host and names them by their sha256."""


@dataclass(frozen=True)
class File:
    """A file of a commit.

    Attributes:
        path: Where it is in the repository.
        source: Where its bytes are; read when served, so leave them as they are.
    """

    path: str
    source: Path

    @cached_property
    def size(self) -> int:
        """Length in bytes."""
        return self.source.stat().st_size

    @cached_property
    def blob_id(self) -> str:
        """Git's name of the content."""
        return hashlib.sha1(b"blob %d\0" % self.size + self.source.read_bytes()).hexdigest()

    @cached_property
    def sha256(self) -> str | None:
        """Digest of a file kept outside git, else None."""
        if PurePosixPath(self.path).suffix not in LARGE_SUFFIXES:
            return None
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    @property
    def etag(self) -> str:
        """What a client names its cached copy."""
        return self.sha256 or self.blob_id

    def info(self, *, expand: bool) -> Json:
        """The entry in a tree listing."""
        info: Json = {"type": "file", "oid": self.blob_id, "size": self.size, "path": self.path}
        if self.sha256:
            info["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 133}
        if expand:
            info["lastCommit"] = {"id": self.blob_id, "title": "add files", "date": DATE}
        return info


@dataclass(frozen=True)
class Commit:
    """The files of a repository at one point, by path."""

    sha: str
    files: Mapping[str, File]

    def folders(self) -> set[str]:
        """Every folder that holds a file, at any depth."""
        return {str(parent) for path in self.files for parent in PurePosixPath(path).parents} - {"."}

    def tree(self, under: str, *, recursive: bool, expand: bool) -> list[Json]:
        """List what is below a folder (``""`` is the root), as the hub does: folders are entries too.

        Raises:
            KeyError: There is no such folder.
        """
        if under and under not in self.folders():
            raise KeyError(under)
        below = [path for path in sorted(self.folders() | set(self.files)) if _is_below(path, under)]
        if not recursive:
            below = [path for path in below if str(PurePosixPath(path).parent) == (under or ".")]
        return list(self.paths_info(below, expand=expand))

    def paths_info(self, paths: Iterable[str], *, expand: bool) -> Iterator[Json]:
        """Describe those of the paths that exist."""
        folders = self.folders()
        for path in paths:
            if path in self.files:
                yield self.files[path].info(expand=expand)
            elif path in folders:
                yield {"type": "directory", "oid": _digest("tree", self.sha, path), "size": 0, "path": path}


@dataclass
class Repository:
    """A repository.

    Attributes:
        kind: Which of the hub's name spaces it is in.
        id: ``owner/name``, or a bare name for the oldest ones.
        commits: By sha, oldest first.
        branches: Branch name to sha. The newest commit of ``main`` is what a client gets unasked.
        tags: Tag name to sha.
        gated: Files are only for clients that send the hub's token.
    """

    kind: Kind
    id: str
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def add(self, folder: Path, *, sha: str | None = None) -> Commit:
        """Make a commit of a folder's files.

        Args:
            folder: Its files and those of its sub-folders.
            sha: 40 hex digits to be known by; otherwise a digest of what the commit holds.
        """
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): path for path in paths}
        commit = [File(name, path) for name, path in files.items()]
        sha = sha or _digest(self.kind, self.id, *(part for file in commit for part in (file.path, file.blob_id)))
        self.commits[sha] = Commit(sha, {file.path: file for file in commit})
        return self.commits[sha]

    def at(self, revision: str) -> Commit | None:
        """Find the commit that a branch, tag or sha stands for."""
        return self.commits.get(self.branches.get(revision) or self.tags.get(revision) or revision)

    def info(self, commit: Commit, *, blobs: bool) -> Json:
        """What ``/api/models/ID`` and ``/api/datasets/ID`` answer."""
        siblings: list[Json] = []
        for file in commit.files.values():
            sibling: Json = {"rfilename": file.path}
            if blobs:
                sibling |= {"size": file.size, "blobId": file.blob_id}
                if file.sha256:
                    sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 133}
            siblings.append(sibling)
        return {
            "_id": _digest(self.id)[:24],
            "id": self.id,
            "sha": commit.sha,
            "siblings": siblings,
            "private": False,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "createdAt": DATE,
            "lastModified": DATE,
        }

    def refs(self) -> Json:
        """What ``/refs`` answers."""
        return {
            "branches": [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in self.branches.items()
            ],
            "tags": [
                {"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha} for name, sha in self.tags.items()
            ],
            "converts": [],
        }


def _is_below(path: str, folder: str) -> bool:
    return not folder or path.startswith(folder + "/")


def _digest(*parts: str) -> str:
    return hashlib.sha1("\0".join(parts).encode()).hexdigest()
