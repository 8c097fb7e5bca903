"""Embeddings of all images and texts of some tasks, for `clipbench embed`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipbench.errors import ConfigError, DataError, ModelError
from clipbench.evaluation.options import EvaluationOptions, OnEncoded, Progress, ignore_encoded, ignore_progress
from clipbench.evaluation.preparation import PreparedTask
from clipbench.inference.chunks import chunk_groups
from clipbench.inference.images import ImageEncoder
from clipbench.inference.profile import Profile
from clipbench.inference.texts import TextEncoder

if TYPE_CHECKING:
    from clipbench.metrics import Floats
    from clipbench.models.base import Model
    from clipbench.models.embedding_file import Kind
    from clipbench.types import ImageRef, Sample


def embed_tasks(
    model: Model,
    tasks: Sequence[PreparedTask],
    options: EvaluationOptions,
    on_progress: Progress = ignore_progress,
    on_encoded: OnEncoded = ignore_encoded,
) -> Iterator[tuple[Kind, Sequence[str], Floats]]:
    """Encode every image and text of the tasks' samples once.

    Images that cannot be read and texts that the model cannot read are left out.

    Args:
        model: The model.
        tasks: The tasks with their data.
        options: Batch size and workers.
        on_progress: Called with a task's name, samples done, and their total if known.
        on_encoded: Called with the images and the texts that were encoded so far.

    Yields:
        ``image`` or ``text``, the keys, and their unit features ``(B, D)``.

    Raises:
        ConfigError: Two data sets use one key for different images.
        ModelError: A feature is not finite, or the model scores texts and has no features.
    """
    if model.text_only:
        raise ModelError(f"{model.id} has no embeddings: it scores texts by their likelihood and sees no image")
    profile = Profile()
    profile.on_encoded = lambda: on_encoded(profile.images, profile.texts)
    images = ImageEncoder(model, options.batch_size, options.workers, profile)
    texts = TextEncoder(model, options.batch_size, profile, prompt=options.prompt)
    seen_images: dict[str, tuple[str, bytes]] = {}
    seen_texts: set[str] = set()
    try:
        for prepared in tasks:
            if prepared.source is None:
                continue
            namespace, done = str(id(prepared.source)), 0
            texts.use_language(prepared.task.language)
            on_progress(prepared.task.name, 0, prepared.report.scorable or None)
            report = prepared.report.again()
            samples = report.track(prepared.task.samples(prepared.source))
            # Chunk by chunk, as an evaluation encodes: the last digits of a feature depend on its batch.
            for group in chunk_groups(samples, 1, prepared.task.name, keyed=False):
                for chunk in group.chunks:
                    yield from _image_part(images, namespace, _refs(chunk), seen_images)
                    distinct = list(dict.fromkeys(text for sample in chunk for text in sample.texts))
                    problems = texts.problems(distinct)
                    usable = [text for text in distinct if text not in problems]
                    found = texts.features(usable)
                    fresh = [place for place, text in enumerate(usable) if text not in seen_texts]
                    if fresh:
                        seen_texts.update(usable)
                        yield "text", [usable[place] for place in fresh], found[fresh]
                    done += len(chunk)
                    on_progress(prepared.task.name, done, prepared.report.scorable or None)
    finally:
        images.close()


def _refs(samples: Sequence[Sample]) -> dict[str, ImageRef]:
    return {ref.key: ref for sample in samples for ref in sample.images}


def _image_part(
    encoder: ImageEncoder, namespace: str, refs: dict[str, ImageRef], seen: dict[str, tuple[str, bytes]]
) -> Iterator[tuple[Kind, Sequence[str], Floats]]:
    wanted = {key: ref for key, ref in refs.items() if seen.get(key, ("", b""))[0] != namespace}
    found = encoder.features(encoder.decode_ahead(wanted, namespace, {}), namespace, list(wanted))
    fresh: dict[str, Floats] = {}
    for key, encoded in found.items():
        if isinstance(encoded, DataError):
            continue
        content = _digest(encoded.feature)
        if key in seen and seen[key][1] != content:
            raise ConfigError(f"two data sets have different images named {key!r}: embed one data set at a time")
        if key not in seen:
            fresh[key] = encoded.feature
        seen[key] = namespace, content
    if fresh:
        yield "image", list(fresh), np.stack(list(fresh.values()))


def _digest(row: Floats) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()
