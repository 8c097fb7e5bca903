"""A library's error about a checkpoint, as one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

from clipbench.errors import ModelError
from clipbench.utils.hub import causes, class_names, cut_off, not_reached, offline, unanswered

_HTTP_CLIENTS = ("httpx", "httpx2", "httpcore", "requests", "urllib3")  # the hub client changes them between majors
_NOT_REACHED = ("couldn't connect", "offline mode", "cached files")
# What libraries raise on input that they did not check.
_INTERNAL = (AssertionError, AttributeError, IndexError, TypeError, ZeroDivisionError)
_LONGEST = 200  # characters of a library's own words
_FILES = "config.json, model.safetensors, preprocessor_config.json and the tokenizer files"


def explain(error: BaseException, source: str, *, files: str = _FILES) -> ModelError:
    """Translate any library's error about ``source`` into a ``ModelError``.

    Args:
        error: What was raised.
        source: Hub id or path, as the user wrote it.
        files: What a local directory must hold to do instead.
    """
    chain = list(causes(error))
    names = class_names(error)
    text = " ".join(str(cause) for cause in chain)
    if "UnpicklingError" in names or "Weights only load failed" in text:
        return ModelError(
            f"{source} holds Python code besides weights, and code is not run: "
            "save the state_dict as .safetensors and pass that"
        )
    if Path(source).exists():
        if not_reached(error) or any(words in text for words in _NOT_REACHED):
            return ModelError(
                f"{source} needs a tokenizer or a text tower from the hub, which could not be reached "
                f"({_first_line(error)}): try again, or put the files into the folder"
            )
        return ModelError(f"cannot load {source}: {_first_line(error)}")
    if "GatedRepoError" in names or "trying to access a gated repo" in text:
        return ModelError(
            f"access to {source} is restricted: ask for it at https://huggingface.co/{source}, then run `hf auth login`"
        )
    if "RevisionNotFoundError" in names or "not a valid git identifier" in text:
        return ModelError(f"{source} has no such revision on the hub: check revision (a branch, tag or commit)")
    if "RepositoryNotFoundError" in names or "is not a valid model identifier" in text:
        return ModelError(
            f"there is no model {source} on the hub, and no such directory here: "
            "check the spelling, or run `hf auth login` if it is private"
        )
    unreached = not_reached(error) or cut_off(error) or any(words in text for words in _NOT_REACHED)
    if unreached or _from_http_client(chain):
        if offline("TRANSFORMERS_OFFLINE"):
            return ModelError(
                f"{source} is not in the local cache and HF_HUB_OFFLINE is set: "
                f"unset it, or pass a directory that holds {files}"
            )
        reason = "there was no answer" if unanswered() else _first_line(chain[-1])
        return ModelError(
            f"the hub could not be reached for {source}, or the connection was lost ({reason}): "
            f"try again, or pass a directory that holds {files}"
        )
    return ModelError(f"cannot load {source}: {_first_line(error)}")


def _from_http_client(chain: list[BaseException]) -> bool:
    return any(type(cause).__module__.split(".")[0] in _HTTP_CLIENTS for cause in chain)


def _first_line(error: BaseException) -> str:
    """What an error says, in one line of bounded length."""
    cause = next((link for link in causes(error) if type(link).__name__.startswith("StrictDataclass")), error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    if isinstance(cause, KeyError):
        return f"there is no {str(cause.args[0]) if cause.args else 'such entry'!r:.100}"
    if cause is not error or (lines and lines[0].endswith(":")):  # a heading: what is wrong comes below it
        lines = lines[1:] or lines
        lines[0] = re.sub(r"^\w+(Error|Exception): ", "", lines[0])
    text = lines[0] if lines else type(error).__name__
    if isinstance(cause, _INTERNAL):
        text = f"the library failed on it, {type(cause).__name__}: {text}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
