"""What a library said when it could not load a checkpoint, in one line that says what to do."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

from clipbench.errors import ModelError

_HTTP_CLIENTS = ("httpx", "httpx2", "httpcore", "requests", "urllib3")  # the hub client changes them between majors
_BROKEN_OFF = ("couldn't connect", "offline mode", "cached files", "Consistency check failed")
_FILES = "config.json, model.safetensors, preprocessor_config.json and the tokenizer files"


def explain(error: BaseException, source: str, *, files: str = _FILES) -> ModelError:
    """Translate any library's error about ``source`` into a :class:`ModelError`.

    Args:
        error: What was raised.
        source: Hub id or path, as the user wrote it.
        files: What a local directory must hold to do instead.
    """
    import huggingface_hub.errors as hub

    causes = list(_chain(error))
    text = " ".join(str(cause) for cause in causes)
    if _holds(causes, pickle.UnpicklingError) or "Weights only load failed" in text:
        return ModelError(
            f"{source} holds Python code beside its weights, and code is not run: "
            "save the state_dict as .safetensors and pass that"
        )
    if Path(source).exists():
        return ModelError(f"cannot load {source}: {_first_line(error)}")
    if _holds(causes, hub.GatedRepoError) or "trying to access a gated repo" in text:
        return ModelError(
            f"access to {source} is restricted: ask for it at https://huggingface.co/{source}, then run `hf auth login`"
        )
    if _holds(causes, hub.RevisionNotFoundError) or "not a valid git identifier" in text:
        return ModelError(
            f"{source} has no such revision on the hub: check --model_args revision=… (branch, tag or commit)"
        )
    if _holds(causes, hub.RepositoryNotFoundError) or "is not a valid model identifier" in text:
        return ModelError(
            f"there is no model {source} on the hub, and no such directory here: "
            "check the spelling, or run `hf auth login` if it is private"
        )
    unreachable = (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError, ConnectionError)
    if _holds(causes, *unreachable) or _from_http_client(causes) or any(words in text for words in _BROKEN_OFF):
        if _offline():
            return ModelError(
                f"{source} is not in the local cache and HF_HUB_OFFLINE is set: "
                f"unset it, or pass a directory that holds {files}"
            )
        return ModelError(
            f"the hub could not be reached for {source}, or broke off ({_first_line(causes[-1])}): "
            f"try again, or pass a directory that holds {files}"
        )
    return ModelError(f"cannot load {source}: {_first_line(error)}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _holds(causes: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _from_http_client(causes: list[BaseException]) -> bool:
    return any(type(cause).__module__.split(".")[0] in _HTTP_CLIENTS for cause in causes)


def _offline() -> bool:
    from huggingface_hub.constants import is_offline_mode

    return is_offline_mode() or os.environ.get("TRANSFORMERS_OFFLINE", "").upper() in {"1", "TRUE", "YES"}


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
