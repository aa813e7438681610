"""The store: the root under which every artifact lives, as `<dataset>/<version>/<name>`.

Here: naming, reading and whole-or-not-at-all writing of files, in a folder or in S3. Not here: what is in the
files (`io_managers.py`), which versions exist (`versions/ledger.py`).

A writer works in a staging folder of its own and the finished file is moved (folder) or uploaded (S3) into
place, so a reader never meets half a file, whatever dies when. Staging folders lie in `.staging` under a
local root, for S3 in the machine's temporary folder. Each is held by a lock that the kernel drops with its
process; whoever stages next removes those whose lock is free. A multipart upload that a killed process
began is invisible to readers; let a lifecycle rule (AbortIncompleteMultipartUpload) collect its parts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl

from automend_assets.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from upath import UPath

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]+")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# polars reports a failed write as text: "... (os error 28)".
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
# What s3fs makes of the answers 500 and 503, slow down and request timeout.
_S3_BUSY = {errno.EIO, errno.EBUSY, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EIO)}
# s3fs tries up to 5 times around botocore's own attempts; the defaults of both add up to 25 minutes on a
# server that accepts and never answers.
_S3_PATIENCE = {"connect_timeout": 5, "read_timeout": 20, "retries": {"total_max_attempts": 3}}
# s3fs would upload 10 parts of 50 MiB at a time from memory.
_S3_PART_BYTES = 16 * 2**20
_S3_PARALLEL_PARTS = 4


class StoreMisconfigured(PermanentError):
    """A URL that cannot be a store's."""


class StoreNotWritable(PermanentError):
    """The store refuses a write: disk full, read-only, no permission, no such bucket."""


class StoreNotReadable(PermanentError):
    """The store refuses to say what it holds, for lack of permission or credentials. Never means "empty"."""


class StoreUnreachable(TransientError):
    """The S3 endpoint does not answer, or answers that it cannot now."""


class ArtifactMissing(PermanentError, FileNotFoundError):
    """An artifact that was never materialised; names the command that makes it."""


class Store:
    """A folder, or `s3://bucket/prefix` with endpoint and credentials from the usual AWS_* environment.

    `dataset`, `version` and `name` are single path segments; `name` carries the extension.
    """

    def __init__(self, url: str) -> None:
        if url.startswith("s3://"):
            self._is_local = False
            self._root = url.rstrip("/")
            if not _BUCKET.fullmatch(self._root.removeprefix("s3://").partition("/")[0]):
                # Not repeated: somebody may have put keys before an @.
                raise StoreMisconfigured(
                    "The store's URL names no bucket: set AUTOMEND_STORE to s3://bucket/prefix, and put keys "
                    "into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
                )
        elif "://" in url and not url.startswith("file://"):
            scheme = url.partition("://")[0]
            raise StoreMisconfigured(
                f"No store over {scheme}://: set AUTOMEND_STORE to a folder or to s3://bucket/prefix."
            )
        else:
            self._is_local = True
            # Absolute, so that steps in other processes and working directories mean the same folder.
            self._root = str(Path(url.removeprefix("file://")).expanduser().absolute())

    def __repr__(self) -> str:
        return f"Store({self._root!r})"

    @property
    def root(self) -> str:
        """The absolute folder or the s3:// URL, without a slash at the end."""
        return self._root

    def url(self, dataset: str, version: str, name: str) -> str:
        """Where an artifact is, or would be: an absolute path or an s3:// URL."""
        for segment in (dataset, version, name):
            if not _SEGMENT.fullmatch(segment):
                raise ValueError(
                    f"{segment!r} cannot be part of an artifact's path: use letters, digits, '.', '_', '-'."
                )
        return f"{self._root}/{dataset}/{version}/{name}"

    def path(self, dataset: str, version: str, name: str) -> UPath:
        """The artifact as a path to read from. Write through `write`, never through this."""
        from upath import UPath

        url = self.url(dataset, version, name)
        return UPath(url) if self._is_local else UPath(url, **_s3fs_options())

    def exists(self, dataset: str, version: str, name: str) -> bool:
        """Whether the artifact is there. Raises StoreNotReadable or StoreUnreachable when that cannot be told."""
        return self._size(dataset, version, name) is not None

    def require(self, dataset: str, version: str, name: str) -> UPath:
        """The path of an artifact that is there. Raises ArtifactMissing with the command that makes it."""
        if not self.exists(dataset, version, name):
            asset = name.partition(".")[0]
            raise ArtifactMissing(
                f"{dataset}/{asset} of version {version} is not in the store: "
                f"{self.url(dataset, version, name)} does not exist. Make it with: dagster asset materialize "
                f"-m automend_assets.definitions --select {dataset}/{asset} --partition {version}"
            )
        return self.path(dataset, version, name)

    def read_bytes(self, dataset: str, version: str, name: str) -> bytes:
        """The whole artifact. Raises ArtifactMissing, StoreNotReadable, StoreUnreachable."""
        path = self.require(dataset, version, name)
        with self._reading(dataset, version, name):
            data: bytes = path.read_bytes()
        return data

    @contextmanager
    def local_copy(self, dataset: str, version: str, name: str) -> Iterator[Path]:
        """The artifact as a local file, for libraries that read no other; a copy of it where the store is in S3.

        Raises ArtifactMissing, StoreNotReadable, StoreUnreachable.
        """
        path = self.require(dataset, version, name)
        if self._is_local:
            yield Path(self.url(dataset, version, name))
            return
        with self.staging() as folder:
            file = folder / name
            with self._reading(dataset, version, name):
                path.fs.get_file(self.url(dataset, version, name), str(file))
            yield file

    def scan_parquet(self, dataset: str, version: str, name: str) -> pl.LazyFrame:
        """A lazy frame over a Parquet artifact. Raises ArtifactMissing, StoreNotReadable, StoreUnreachable."""
        self.require(dataset, version, name)
        url = self.url(dataset, version, name)
        options = None if self._is_local else _polars_s3_options()
        return pl.scan_parquet(url, glob=False, storage_options=options)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder for files in the making, removed at the end with all that is in it.

        Local stores stage on their own file system, so that publishing is a rename. Raises StoreNotWritable.
        """
        if self._is_local:
            home, mode = Path(self._root, ".staging"), 0o777
        else:
            home, mode = Path(tempfile.gettempdir(), f"automend-staging-{os.getuid()}"), 0o700
        try:
            home.mkdir(mode, parents=True, exist_ok=True)
            _remove_abandoned(home)
            folder, lock = _staging_folder(home)
        except OSError as error:
            self._not_writable(error, home)
        try:
            yield folder
        except Exception as error:
            if _errno_of(error) in _NO_ROOM:
                self._not_writable(error, folder)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _drop_lock(lock, folder)

    @contextmanager
    def write(self, dataset: str, version: str, name: str) -> Iterator[Path]:
        """Yield the path of a temporary file; what was written there becomes the artifact on a clean exit.

        On any error nothing is published, and what was there before stays. Raises StoreNotWritable.
        """
        target = self.url(dataset, version, name)
        with self.staging() as folder:
            file = folder / name
            yield file
            if not file.exists():
                raise FileNotFoundError(f"Nothing was written to {file}, so there is no {target} to publish.")
            if self._is_local:
                try:
                    _move_into_place(file, Path(target))
                except OSError as error:
                    self._not_writable(error, Path(target))
            else:
                self._upload(file, target)

    def _size(self, dataset: str, version: str, name: str) -> int | None:
        path = self.path(dataset, version, name)
        with self._reading(dataset, version, name):
            try:
                # fsspec's exists() turns every failure into "no".
                return int(path.stat().st_size)
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextmanager
    def _reading(self, dataset: str, version: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except _io_errors(self._is_local) as error:
            kind = StoreUnreachable if _may_pass(error, self._is_local) else StoreNotReadable
            raise kind(
                f"Cannot read {self.url(dataset, version, name)}: {_reason(error)}. {self._advice()}"
            ) from error

    def _upload(self, file: Path, target: str) -> None:
        from upath import UPath

        try:
            UPath(target, **_s3fs_options()).fs.put_file(
                str(file), target, chunksize=_S3_PART_BYTES, max_concurrency=_S3_PARALLEL_PARTS
            )
        except _io_errors(self._is_local) as error:
            kind = StoreUnreachable if _may_pass(error, self._is_local) else StoreNotWritable
            raise kind(f"Cannot write {target}: {_reason(error)}. {self._advice()}") from error

    def _not_writable(self, error: Exception, where: Path) -> NoReturn:
        full = _errno_of(error) in {errno.ENOSPC, errno.EDQUOT}
        if full and not self._is_local:
            fix = f"Make room on the disk of {where.parent}, or set TMPDIR to a larger one."
        elif full:
            fix = "Make room on that disk, or set AUTOMEND_STORE to another folder or an s3:// URL."
        else:
            fix = "Let this user write there, or set AUTOMEND_STORE to another folder or an s3:// URL."
        raise StoreNotWritable(
            f"Cannot write to the store {self._root} ({where}): {_reason(error)}. Nothing was published. "
            f"{fix}"
        ) from error

    def _advice(self) -> str:
        if self._is_local:
            return "Check that this user may use that folder."
        return (
            "Check AUTOMEND_STORE, that the bucket exists, and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY."
        )


def _staging_folder(home: Path) -> tuple[Path, int]:
    while True:
        folder = home / uuid.uuid4().hex
        lock_file = folder.with_suffix(".lock")
        lock = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Between the two calls above another process may have taken it for abandoned and removed it.
            if lock_file.exists():
                folder.mkdir()
                return folder, lock
        except OSError:
            _drop_lock(lock, folder)
            raise
        os.close(lock)


def _remove_abandoned(home: Path) -> None:
    for lock_file in home.glob("*.lock"):
        try:
            lock = os.open(lock_file, os.O_RDWR)
        except OSError:
            continue  # just removed by its owner, or another user's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)  # in use
            continue
        folder = lock_file.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        _drop_lock(lock, folder)


def _drop_lock(lock: int, folder: Path) -> None:
    # Removed while still held: whoever waits for it then sees that it is gone.
    with suppress(OSError):
        folder.with_suffix(".lock").unlink(missing_ok=True)
    os.close(lock)


def _move_into_place(file: Path, target: Path) -> None:
    with file.open("rb") as finished:
        os.fsync(finished.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    file.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # without it a power cut may undo the rename
    finally:
        os.close(folder)


def _errno_of(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, pl.exceptions.PolarsError | OSError) and (match := _OS_ERROR.search(str(error))):
        return int(match[1])
    return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _io_errors(is_local: bool) -> tuple[type[Exception], ...]:
    """What reading and writing raise; botocore is imported only once S3 is in use."""
    if is_local:
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    return (OSError, BotoCoreError, ClientError)


def _may_pass(error: Exception, is_local: bool) -> bool:
    if is_local:
        return False
    if isinstance(error, OSError):
        return error.errno in _S3_BUSY
    from botocore.exceptions import ConnectionError, HTTPClientError

    return isinstance(error, ConnectionError | HTTPClientError)


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _s3fs_options() -> dict[str, Any]:
    # Another process may have written since: no answers from a remembered listing. s3fs keeps file systems by
    # their options, so the endpoint is one of them; credentials it finds by itself.
    return {
        "use_listings_cache": False,
        "endpoint_url": _s3_endpoint(),
        "config_kwargs": _S3_PATIENCE,
    }


def _polars_s3_options() -> dict[str, Any]:
    """What polars does not take from the environment as boto does; credentials it finds by itself."""
    options = {}
    endpoint = _s3_endpoint()
    if endpoint:
        options["aws_endpoint_url"] = endpoint
        options["aws_allow_http"] = str(endpoint.startswith("http://")).lower()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        options["aws_region"] = region
    return options
