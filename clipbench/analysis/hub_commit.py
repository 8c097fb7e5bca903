"""One commit to the Hugging Face hub, merged with what is already there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clipbench.analysis.hub_files import BENCHMARK, EVAL_RESULTS, merge_benchmark, merge_eval_results, space_sdk
from clipbench.analysis.publishing import Upload, merged_card
from clipbench.errors import ResultError
from clipbench.utils.hub import error_status

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

_ATTEMPTS = 5  # at a commit, if others commit in the meantime


def push(upload: Upload, api: HfApi | None = None, *, private: bool = False, create_pr: bool = False) -> str:
    """Send an upload, as one commit.

    Args:
        upload: What to send.
        api: The hub's client; by default, one that uses ``HF_ENDPOINT`` and ``HF_TOKEN``.
        private: Create a missing repository as a private one.
        create_pr: Open a pull request rather than commit.

    Returns:
        The commit's URL, or a message that everything is already there.

    Raises:
        ResultError: The hub refuses or cannot be reached, or a file there cannot be merged into.
    """
    import huggingface_hub as hub

    client = api or hub.HfApi()

    def send() -> str:
        if not create_pr:
            client.create_repo(
                upload.repo_id, repo_type=upload.repo_type, private=private, exist_ok=True,
                space_sdk="static" if upload.repo_type == "space" else None,
            )  # fmt: skip
        for attempt in range(_ATTEMPTS):  # what is merged was read at `head`: a commit after it would be lost
            head = client.repo_info(upload.repo_id, repo_type=upload.repo_type).sha
            operations = list(_operations(client, upload, head))
            if not operations:
                break
            try:
                commit = client.create_commit(
                    upload.repo_id, operations, commit_message=upload.message, repo_type=upload.repo_type,
                    create_pr=create_pr, parent_commit=head,
                )  # fmt: skip
            except Exception as error:  # which classes there are depends on the hub client's HTTP library
                if error_status(error) not in (409, 412) or attempt == _ATTEMPTS - 1:
                    raise
                continue
            return str(commit.pr_url or commit.commit_url)
        return f"{upload.repo_id}: everything is already there"

    return _with_errors(send, upload.repo_id)


def _operations(
    client: HfApi, upload: Upload, head: str | None
) -> Iterator[CommitOperationAdd | CommitOperationDelete]:
    """The files of a commit, merged with those of the commit before."""
    import huggingface_hub as hub

    for name, content in sorted(upload.files.items()):
        yield hub.CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
    there = set(client.list_repo_files(upload.repo_id, revision=head, repo_type=upload.repo_type))

    def text(name: str) -> str | None:
        if name not in there:
            return None
        path = client.hf_hub_download(upload.repo_id, name, revision=head, repo_type=upload.repo_type)
        try:
            return Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ResultError(f"{name}: exists and is not UTF-8: fix or remove it") from None

    yield from (
        hub.CommitOperationDelete(name)
        for name in sorted(there - upload.files.keys())
        if name.startswith(upload.replaced)
    )
    if upload.repo_type == "space":
        _require_static(text("README.md"))
    if upload.card_results:
        yield hub.CommitOperationAdd("README.md", merged_card(text("README.md"), upload).encode())
    elif upload.card and "README.md" not in there:
        yield hub.CommitOperationAdd("README.md", upload.card.encode())
    if upload.entries:
        known = {name: text(name) or "" for name in there if name.startswith(EVAL_RESULTS) and name.endswith(".yaml")}
        for name, new in merge_eval_results(known, upload.entries).items():
            yield hub.CommitOperationDelete(name) if new is None else hub.CommitOperationAdd(name, new.encode())
    if upload.benchmark and (new := merge_benchmark(text(BENCHMARK), upload.benchmark)) is not None:
        yield hub.CommitOperationAdd(BENCHMARK, new.encode())


def _require_static(card: str | None) -> None:
    sdk = "static" if card is None else space_sdk(card)
    if sdk != "static":
        raise ResultError(f"README.md: {f'sdk {sdk}' if sdk else 'no sdk'}; a site needs a Space with `sdk: static`")


def _with_errors(send: Callable[[], str], repo_id: str) -> str:
    try:
        return send()
    except ResultError as error:
        raise ResultError(f"{repo_id}: {error}") from None
    except Exception as error:  # which classes there are depends on the hub client's HTTP library
        status = error_status(error)
        hint = "; log in with `hf auth login` or set HF_TOKEN" if status in (401, 403, 404) else ""
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ResultError(f"{repo_id}: the push failed: {reason}{hint}") from None
