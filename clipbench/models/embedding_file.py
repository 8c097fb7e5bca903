"""Files of precomputed embeddings: ``.npz``, ``.safetensors`` with a ``.json`` next to it, and ``.parquet``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clipbench.errors import ConfigError, ModelError, ResultError
from clipbench.utils.digest import file_digest
from clipbench.utils.files import atomic_write

if TYPE_CHECKING:
    from clipbench.metrics import Floats

SUFFIXES = (".npz", ".safetensors", ".parquet")
_KEYS = {"image": "image_keys", "text": "texts"}
Kind = Literal["image", "text"]


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of images and texts, as in a file.

    Attributes:
        image_keys: A name for each image: its key in sample logs, or its file name.
        image_features: ``(N, D)``, normalized or not.
        texts: The texts.
        text_features: ``(M, D)``.
        digest: Digest of the file's content.
    """

    image_keys: tuple[str, ...]
    image_features: Floats
    texts: tuple[str, ...]
    text_features: Floats
    digest: str = ""


def read_embeddings(path: Path) -> Embeddings:
    """Read a file of embeddings.

    Args:
        path: ``.npz`` with the arrays ``image_keys`` (N), ``image_features`` (N, D), ``texts`` (M), ``text_features``
            (M, D); ``.safetensors`` with the two matrices, and the two lists in a ``.json`` of the same name;
            or ``.parquet`` with the columns ``key``, ``kind`` (``image`` or ``text``) and ``vector``.

    Raises:
        ModelError: It cannot be read, lacks a part, or has parts that do not match; names them.
    """
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise ModelError(f"{path}: embeddings are read from {', '.join(SUFFIXES)} files")
    if not path.is_file():
        raise ModelError(f"{path}: no such file of embeddings")
    try:
        parts = readers[path.suffix](path)
        digest = file_digest(path)
    except KeyError as error:
        raise ModelError(f"{path}: lacks {str(error.args[0]).split()[0]}; see `clipbench embed`") from None
    except Exception as error:  # each format's library has its own errors
        raise ModelError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    return _checked(path, parts, digest)


def _read_npz(path: Path) -> dict[str, Any]:
    import numpy as np

    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in ("image_keys", "image_features", "texts", "text_features")}


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    features = load_file(path)
    names = json.loads(path.with_suffix(".json").read_text(encoding="utf-8-sig"))
    return {
        **{name: features[name] for name in ("image_features", "text_features")},
        **{name: names[name] for name in _KEYS.values()},
    }


def _read_parquet(path: Path) -> dict[str, Any]:
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["key", "kind", "vector"])
    unknown = set(pc.unique(table["kind"]).to_pylist()) - set(_KEYS)
    if unknown:
        raise ValueError(f"kind {sorted(map(str, unknown))[0]!r}: image or text")
    parts: dict[str, Any] = {}
    for kind, keys in _KEYS.items():
        some = table.filter(pc.equal(table["kind"], kind))
        parts[keys] = some["key"].to_pylist()
        vectors = some["vector"].combine_chunks()
        lengths = pc.unique(pc.list_value_length(vectors)).to_pylist()
        if len(lengths) > 1:
            raise ValueError(f"{kind} vectors of {len(lengths)} different lengths")
        flat = np.asarray(vectors.flatten(), dtype=np.float32)
        parts[f"{kind}_features"] = flat.reshape(len(vectors), -1) if len(vectors) else flat.reshape(0, 0)
    return parts


def _checked(path: Path, parts: dict[str, Any], digest: str) -> Embeddings:
    import numpy as np

    found: dict[str, Any] = {}
    for kind, keys in _KEYS.items():
        names = tuple(str(name) for name in parts[keys])
        features = np.asarray(parts[f"{kind}_features"])
        if features.ndim != 2 or features.dtype.kind not in "fiu":
            raise ModelError(f"{path}: {kind}_features is not a matrix of numbers, (N, D), but {features.shape}")
        if len(names) != len(features):
            raise ModelError(f"{path}: {len(names):,} {keys} and {len(features):,} rows of {kind}_features")
        features = np.ascontiguousarray(features, dtype=np.float32)
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1) | ~features.any(axis=1))
        if len(bad):
            raise ModelError(
                f"{path}: {len(bad):,} of {len(names):,} {kind} embeddings are not finite or are zero, the first one"
                f" of {names[bad[0]][:80]!r}"
            )
        found[keys], found[f"{kind}_features"] = names, features
    sides = found["image_features"], found["text_features"]
    if all(map(len, sides)) and sides[0].shape[1] != sides[1].shape[1]:
        raise ModelError(f"{path}: images have {sides[0].shape[1]} dimensions and texts {sides[1].shape[1]}")
    return Embeddings(**found, digest=digest)


def write_embeddings(path: Path, parts: Iterable[tuple[Kind, Sequence[str], Floats]]) -> None:
    """Write a file for ``read_embeddings``. Parquet is written part by part, other formats at the end.

    Args:
        path: A file with one of ``SUFFIXES``.
        parts: Kind, keys ``(B)`` and features ``(B, D)``; no key of a kind appears twice.

    Raises:
        ConfigError: The suffix is not one of ``SUFFIXES``.
        ResultError: The file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"output_path {path}: embeddings are written to {', '.join(SUFFIXES)} files")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        _write_parquet(path, parts)
        return
    import numpy as np

    names: dict[str, list[str]] = {"image": [], "text": []}
    rows: dict[str, list[Floats]] = {"image": [], "text": []}
    for kind, keys, features in parts:
        names[kind].extend(keys)
        rows[kind].append(features)
    matrices = {
        f"{kind}_features": np.concatenate(some) if some else np.zeros((0, 0), np.float32)
        for kind, some in rows.items()
    }
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(
            buffer,
            image_keys=np.array(names["image"]),
            image_features=matrices["image_features"],
            texts=np.array(names["text"]),
            text_features=matrices["text_features"],
        )
        atomic_write(path, buffer.getvalue())
        return
    from safetensors.numpy import save

    keys_file = {_KEYS[kind]: names[kind] for kind in names}
    atomic_write(path.with_suffix(".json"), json.dumps(keys_file, ensure_ascii=False))
    atomic_write(path, save(matrices))


def _write_parquet(path: Path, parts: Iterable[tuple[Kind, Sequence[str], Floats]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"key": pa.string(), "kind": pa.string(), "vector": pa.list_(pa.float32())})
    part = path.absolute().with_name(f".{path.name}.part")  # pyarrow takes a relative a:b for an address
    try:
        with pq.ParquetWriter(part, schema) as writer:
            for kind, keys, features in parts:
                columns = [list(keys), [kind] * len(keys), list(features)]
                writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))
        part.replace(path)
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
