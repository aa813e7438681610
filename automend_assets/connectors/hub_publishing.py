"""Publishing a folder of files to a model repository of the Hub: one commit and a tag, whatever was done before.

What belongs here: making the repository, the commit and the tag through `huggingface_hub`, and finding out what
is there already. What does not: which files they are (`datasets/typos/assets.py`), reading (`hub.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automend_assets.connectors.hub import HubResource, Target
from automend_assets.errors import PermanentError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_READ_BYTES = 1 << 20


class PublishedOtherwise(PermanentError):
    """A version's tag is on the Hub with other content."""


@dataclass(frozen=True)
class Published:
    """Where a version is on the Hub; `created` is False when it was there already."""

    repo: str
    commit: str
    tag: str
    created: bool


def publish(
    hub: HubResource, repo: str, files: Mapping[str, Path | bytes], *, message: str, tag: str
) -> Published:
    """Publish `files` (path in the repository to a local file or its content) as the main branch of `repo`, tagged.

    The repository is made, private, if it is missing. What lies beside `files` goes, but for the folder `models`,
    which keeps earlier archives. Each step looks at what is there: publishing again changes nothing, and what was
    interrupted is finished. Every request is tried again as `hub` says.

    Raises PublishedOtherwise and the errors of `connectors.hub`.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(endpoint=hub.endpoint.rstrip("/"), token=hub.token or None)
    target = Target(repo, "model", action="written")
    hub.persist(target, lambda: api.create_repo(repo, repo_type="model", private=True, exist_ok=True))
    wanted = {path: _Content.of(content) for path, content in files.items()}

    tagged = _tag(hub, api, target, tag)
    if tagged is None:
        there = _tree(hub, api, target, "main")
        if not _holds(there, wanted):
            stale = [
                path
                for path in there
                if path not in wanted and path != ".gitattributes" and not path.startswith("models/")
            ]
            operations: list[Any] = [
                *(CommitOperationAdd(path, _source(content)) for path, content in sorted(files.items())),
                *(CommitOperationDelete(path) for path in sorted(stale)),
            ]
            commit = hub.persist(
                target, lambda: api.create_commit(repo, operations, commit_message=message)
            ).oid
        else:
            commit = hub.resolve_revision(repo, "main", repo_type="model")
        # Another publisher of the same version may be first; what counts is what the tag holds then.
        hub.persist(target, lambda: api.create_tag(repo, tag=tag, revision=commit, exist_ok=True))
        tagged = _tag(hub, api, target, tag) or commit
        if tagged == commit:
            return Published(repo, commit, tag, created=True)
    if not _holds(_tree(hub, api, target, tagged), wanted):
        raise PublishedOtherwise(
            f"{repo} has a tag {tag} with other files than those to publish. A version never changes: publish to"
            " another repo (AUTOMEND_HUB_MODEL_REPO), or delete that tag on the Hub if it is not this project's."
        )
    return Published(repo, tagged, tag, created=False)


@dataclass(frozen=True)
class _Content:
    """How the Hub tells contents apart: by SHA-256 for large files, by git's hash for others."""

    sha256: str
    git: str

    @classmethod
    def of(cls, content: Path | bytes) -> _Content:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        sha256, git = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        for chunk in [content] if isinstance(content, bytes) else _chunks(content):
            sha256.update(chunk)
            git.update(chunk)
        return cls(sha256.hexdigest(), git.hexdigest())


def _chunks(file: Path) -> Any:
    with file.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            yield chunk


def _source(content: Path | bytes) -> str | bytes:
    return content if isinstance(content, bytes) else str(content)


def _tag(hub: HubResource, api: HfApi, target: Target, tag: str) -> str | None:
    """The commit that a tag is on."""
    refs = hub.persist(target, lambda: api.list_repo_refs(target.repo, repo_type="model"))
    return next((str(found.target_commit) for found in refs.tags if found.name == tag), None)


def _tree(hub: HubResource, api: HfApi, target: Target, revision: str) -> dict[str, tuple[str | None, str]]:
    """SHA-256 of large files and git's hash of all, by path."""
    from huggingface_hub.hf_api import RepoFile

    entries = hub.persist(
        target,
        lambda: list(api.list_repo_tree(target.repo, recursive=True, revision=revision, repo_type="model")),
    )
    return {
        entry.path: (entry.lfs.sha256 if entry.lfs else None, str(entry.blob_id))
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def _holds(there: Mapping[str, tuple[str | None, str]], wanted: Mapping[str, _Content]) -> bool:
    """Whether the files are there with this content, and nothing beside them that belongs to another model."""
    return all(
        path in there and (there[path][0] == content.sha256 or there[path] == (None, content.git))
        for path, content in wanted.items()
    )
