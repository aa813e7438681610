"""The Hugging Face Hub as a Dagster resource: which commit a revision is, which files it holds, their bytes.

What belongs here: talking to the Hub through `huggingface_hub`, waiting and trying again where that library
does not (`model_info` 503, a first answer of 500, a CDN that says 503, a connection cut in mid-body), and
errors that say what to do. What does not: what is in the files (each dataset's `source.py`).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import dagster as dg
from pydantic import Field

from automend_assets.errors import PermanentError, TransientError

if TYPE_CHECKING:
    import httpx2
    from typing_extensions import Buffer

_T = TypeVar("_T")
RepoType = Literal["dataset", "model"]
_LONGEST_WAIT_SECONDS = 300.0


class HubTokenMissing(PermanentError):
    """The repository is private or gated (or does not exist), and no token was sent."""


class HubTokenInvalid(PermanentError):
    """The Hub does not know the token."""


class HubGated(PermanentError):
    """The token's user has not accepted the terms of the repository."""


class HubForbidden(PermanentError):
    """The token's user may not do this, or the Hub refuses the request for good."""


class HubRepoMissing(PermanentError):
    """No such repository, or one that the token may not see."""


class HubRevisionMissing(PermanentError):
    """The repository exists and the revision does not (any more)."""


class HubFileMissing(PermanentError):
    """The commit has no such file."""


class HubOffline(PermanentError):
    """HF_HUB_OFFLINE forbids the client to use the network."""


class HubUnreachable(TransientError):
    """No useful answer after all attempts: no network, a dead server, errors of the 500s, a rate limit."""

    retry_after: float | None = None
    """Seconds that the Hub asks to wait, when it said so."""


@dataclass(frozen=True)
class HubFile:
    """One file of a repository at a commit: its size in bytes, and when it got its content, if that was asked for."""

    path: str
    size: int
    committed_at: datetime | None = None


@dataclass(frozen=True)
class Target:
    """What a request is about, for the words of its error."""

    repo: str
    repo_type: RepoType
    revision: str | None = None
    path: str | None = None
    action: Literal["read", "written"] = "read"


class HubResource(dg.ConfigurableResource["HubResource"]):
    """Reads repositories of one Hub. Nothing connects before a method is called.

    Endpoint and token go with every call, so they hold even where `huggingface_hub` was imported (and read
    its environment) before. Without a token, the one of HF_TOKEN or of `hf auth login` is used, as by any
    Hub client.
    """

    endpoint: str = Field(
        default="https://huggingface.co", description="Address of the Hub or of a mirror of it."
    )
    token: str | None = Field(
        default=None,
        repr=False,
        description="Access token; unset: HF_TOKEN, or the login of `hf auth login`.",
    )
    attempts: int = Field(default=5, ge=1, description="How often a request is tried before giving up.")
    backoff_seconds: float = Field(
        default=1.0, ge=0, description="Wait before the second attempt; doubled before each further one."
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest silence of the server before an attempt counts as failed."
    )

    def resolve_revision(self, repo: str, revision: str = "main", *, repo_type: RepoType = "dataset") -> str:
        """The 40-hex commit that a branch, tag or (short) commit of `repo` is now."""
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.endpoint.rstrip("/"), token=self.token or None)
        info = self.persist(
            Target(repo, repo_type, revision),
            lambda: api.repo_info(repo, repo_type=repo_type, revision=revision, timeout=self.timeout_seconds),
        )
        return str(info.sha)

    def list_files(
        self, repo: str, revision: str, *, repo_type: RepoType = "dataset", dated: bool = False
    ) -> list[HubFile]:
        """All files of `repo` at `revision`, sorted by path; `dated` asks for their times too, in smaller pages."""
        target = Target(repo, repo_type, revision)
        page: str | None = (
            f"{self.endpoint.rstrip('/')}/api/{repo_type}s/{repo}/tree/{quote(revision, safe='')}"
            f"?recursive=true&expand={str(dated).lower()}"
        )
        files = []
        while page:
            entries, page = self.persist(target, partial(self._page, page))
            files += [
                HubFile(entry["path"], entry["size"], _committed_at(entry))
                for entry in entries
                if entry["type"] == "file"
            ]
        return sorted(files, key=lambda file: file.path)

    def open(
        self, repo: str, revision: str, file: HubFile, *, repo_type: RepoType = "dataset"
    ) -> io.RawIOBase:
        """A seekable, unbuffered stream over a file's bytes that fetches what is asked for and little more.

        A connection that breaks is taken up again at the byte where it broke. Use it as a context manager.
        """
        return _HubStream(self, Target(repo, repo_type, revision, file.path), file.size)

    def _page(self, url: str) -> tuple[list[dict[str, Any]], str | None]:
        response = self._request(url)
        return response.json(), response.links.get("next", {}).get("url")

    def _request(self, url: str, *, stream: bool = False, **headers: str) -> httpx2.Response:
        """GET through the session of `huggingface_hub`, whose own calls have no timeout or no retry where
        it matters.

        Redirects are followed; the token is not sent on to another host.
        """
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        client = get_session()
        request = client.build_request(
            "GET",
            url,
            headers=build_hf_headers(token=self.token or None) | headers,
            timeout=self.timeout_seconds,
        )
        response = client.send(request, stream=stream, follow_redirects=True)
        try:
            hf_raise_for_status(response)
        except Exception:
            response.close()
            raise
        return response

    def _body(self, target: Target, first_byte: int) -> httpx2.Response:
        """A response whose body, still unread, is that of the file from `first_byte` on."""
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(
            target.repo,
            target.path or "",
            repo_type=target.repo_type,
            revision=target.revision,
            endpoint=self.endpoint.rstrip("/"),
        )
        # identity: the byte positions of Range are those of the file, not of a compressed transfer.
        return self._request(
            url, stream=True, **{"Range": f"bytes={first_byte}-", "Accept-Encoding": "identity"}
        )

    def persist(self, target: Target, request: Callable[[], _T]) -> _T:
        """The result of `request`, tried again after transient failures, else one typed error."""
        for attempt in range(1, self.attempts + 1):
            try:
                return request()
            except Exception as error:
                failure = self._failure(error, target)
                if failure is error:
                    raise
                if not isinstance(failure, HubUnreachable):
                    raise failure from None
                wait = self.backoff_seconds * 2 ** (attempt - 1)
                if failure.retry_after is not None:
                    wait = max(wait, failure.retry_after)
                if attempt == self.attempts or wait > _LONGEST_WAIT_SECONDS:
                    self._give_up(failure, attempt)
            time.sleep(wait)
        raise AssertionError("attempts is at least 1")

    def _give_up(self, failure: HubUnreachable, attempts: int) -> NoReturn:
        asked = f", which asks to wait {failure.retry_after:.0f} s" if failure.retry_after else ""
        last = HubUnreachable(
            f"The Hub at {self.endpoint} gave no usable answer in {attempts} attempt(s) "
            f"(last: {failure}{asked}): check the network, the proxy and HF_ENDPOINT and run this again, "
            f"or work offline with `--source sample`."
        )
        last.retry_after = failure.retry_after
        raise last from None

    def _failure(self, error: Exception, target: Target) -> Exception:
        """`error` in this module's words; itself when it is none of the network's.

        The clients' own messages are not passed on: they hold the signed addresses of the CDN.
        """
        import httpx2
        from huggingface_hub import errors
        from huggingface_hub.utils import build_hf_headers

        page = (
            f"{self.endpoint.rstrip('/')}/{'datasets/' if target.repo_type == 'dataset' else ''}{target.repo}"
        )
        repo = f"the {target.repo_type} {target.repo} on {self.endpoint}"
        if isinstance(error, errors.OfflineModeIsEnabled):
            return HubOffline(
                f"HF_HUB_OFFLINE forbids reading {repo}: unset it, or use `--source sample` or "
                f"`--source file`."
            )
        if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | errors.HFValidationError):
            return HubRepoMissing(
                f"No request can be made for {repo}: check HF_ENDPOINT and OWNER/NAME ({error})."
            )
        if isinstance(error, json.JSONDecodeError):
            return HubUnreachable("an answer that is not the Hub's, as of a proxy or a login page")
        if not isinstance(error, errors.HfHubHTTPError):
            return HubUnreachable(type(error).__name__) if isinstance(error, httpx2.HTTPError) else error

        status, headers = error.response.status_code, error.response.headers
        anonymous = "authorization" not in build_hf_headers(token=self.token or None)
        if status == 401 and headers.get("X-Error-Message") == "Invalid credentials in Authorization header":
            return HubTokenInvalid(
                f"The Hub at {self.endpoint} does not accept the token: set HF_TOKEN to a valid one "
                f"(https://huggingface.co/settings/tokens), or unset it for public data."
            )
        if anonymous and (status == 401 or isinstance(error, errors.GatedRepoError)):
            return HubTokenMissing(
                f"Without a token {repo} cannot be {target.action}: it is private or gated, or does not exist. Check "
                f"the name, accept the terms at {page} if it has any, and set HF_TOKEN."
            )
        if isinstance(error, errors.GatedRepoError):
            return HubGated(
                f"The token may not read {repo} yet: accept its terms at {page} with the token's account."
            )
        if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
            return HubRepoMissing(
                f"There is no {repo.removeprefix('the ')} that this token may see: check OWNER/NAME."
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return HubRevisionMissing(
                f"Revision {target.revision} of {repo} does not exist (any more): see {page}/commits/main "
                f"and cut a new version with `--revision`."
            )
        if isinstance(error, errors.EntryNotFoundError):
            return HubFileMissing(
                f"Revision {target.revision} of {repo} has no file {target.path}: see {page}."
            )
        said = f"HTTP {status} from {urlsplit(str(error.response.url)).hostname}"
        # The CDN answers 403 to an expired signature, and the next try gets a fresh one from the Hub.
        redirected = bool(error.response.history)
        if status in (408, 425, 429) or status >= 500 or (status == 403 and redirected):
            failure = HubUnreachable(said)
            failure.retry_after = _seconds_to_wait(headers)
            return failure
        return HubForbidden(
            f"The Hub refuses to let {repo} be {target.action} ({said}): check the rights of HF_TOKEN at {page}."
        )


def _committed_at(entry: dict[str, Any]) -> datetime | None:
    date = (entry.get("lastCommit") or {}).get("date")
    return datetime.fromisoformat(date) if date else None


def _seconds_to_wait(headers: httpx2.Headers) -> float | None:
    """Seconds from `Retry-After`, or from the Hub's own `ratelimit: "resolvers";r=0;t=SECONDS`."""
    from huggingface_hub.utils import parse_ratelimit_headers

    after = headers.get("Retry-After", "").strip()
    if after.isdigit():
        return float(after)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds + 1) if limit and limit.remaining == 0 else None


class _HubStream(io.RawIOBase):
    """The bytes of one file of the Hub, over as many connections as it takes."""

    def __init__(self, hub: HubResource, target: Target, size: int) -> None:
        self._hub = hub
        self._target = target
        self._size = size
        self._position = 0
        self._response: httpx2.Response | None = None
        self._body: Iterator[bytes] = iter(())
        self._unread = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset != self._position:
            self._disconnect()
            self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._size or not len(target):
            return 0
        if not self._unread:
            self._unread = self._hub.persist(self._target, self._next)
        taken = self._unread[: len(target)]
        target[: len(taken)] = taken
        self._unread = self._unread[len(taken) :]
        self._position += len(taken)
        return len(taken)

    def close(self) -> None:
        self._disconnect()
        super().close()

    def _next(self) -> bytes:
        """The next bytes at the position, at least one. Any failure ends the connection; the next call
        resumes."""
        import httpx2

        try:
            if self._response is None:
                self._connect()
            chunk = next(self._body, b"")
            if not chunk:
                raise httpx2.RemoteProtocolError(
                    f"the body of {self._target.path} ended at byte {self._position}"
                )
        except Exception:
            self._disconnect()
            raise
        return chunk

    def _connect(self) -> None:
        self._response = self._hub._body(self._target, self._position)
        # Some proxies ignore Range, and then the body starts again at the first byte.
        behind = 0 if self._response.status_code == 206 else self._position
        self._body = _without_beginning(self._response.iter_raw(), behind)

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response, self._body, self._unread = None, iter(()), b""


def _without_beginning(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for chunk in chunks:
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(0, skip - len(chunk))
