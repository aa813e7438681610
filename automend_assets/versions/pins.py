"""DVC pins of a release: a `.dvc` pointer beside every artifact, metrics, and the push to a remote.

Here: finding (or making) the DVC project that a store belongs to, pinning the files of a version, writing
the metrics that `dvc metrics show` and `diff` read, pushing. Not here: what a release consists of
(`release.py`), and Git: what to commit, and when, is for the user to say.

DVC runs as a process of its own: its messages are those that a user would see, its locks go when it dies, and
none of its global state reaches a Dagster worker.

The project of a store is
- for a folder whose pointers Git can track in a DVC project (the default, `data/store` in a clone): that
  project, so that pointers are committed with the code;
- for any other folder: a project without Git in the store's own root, made on first use;
- for S3: as above, for a folder that mirrors the bucket, by default under `data/remote`. DVC cannot track objects where
  they are (external outputs went with DVC 3), so artifacts pass through that folder into DVC's cache.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import orjson

from automend_assets.errors import AutomendError
from automend_assets.storage.store import Store
from automend_assets.versions.manifest import version_number

REMOTE_NAME = "automend"
"""The remote that a URL in `AUTOMEND_DVC_REMOTE` is configured as, in `.dvc/config.local`."""

METRICS_FILE = "metrics.json"
_PUSH_WAITS_S = (1.0, 4.0)
_WRITABLE = "Check that this folder is writable and has room for a second copy of the artifacts."
_PROJECT_CONFIG = """\
[core]
    no_scm = True
    analytics = false
    autostage = false
    check_update = false
"""


class DvcFailed(AutomendError):
    """A DVC command failed: the command and its folder, DVC's own message, and what to do about it."""

    def __init__(self, command: str, folder: Path, message: str, remedy: str) -> None:
        self.message = _without_credentials(message)
        super().__init__(f"`{_without_credentials(command)}` failed in {folder}: {self.message} {remedy}")


class DvcProject(NamedTuple):
    """A DVC project, and the folder in it under which `<dataset>/<version>/<file>` lie."""

    root: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Pointer:
    """One pinned artifact: file name, pointer relative to the project, DVC's md5, size in bytes."""

    file: str
    pointer: str
    md5: str
    bytes: int


@dataclass(frozen=True, slots=True)
class PinResult:
    """What a pin made: the pointers in the order of the files, and the remote that has their data, if any."""

    pointers: tuple[Pointer, ...]
    project: Path
    pushed_to: str | None


def find_project(store: Store, mirrors: Path) -> DvcProject:
    """Find the DVC project in which `store` is pinned; make one (without Git) where there is none.

    `mirrors` is the folder under which the pins of S3 stores are kept, by bucket and prefix.
    """
    if _is_local(store):
        folder = Path(store.root).resolve()
    else:
        folder = mirrors.resolve() / store.root.removeprefix("s3://")
    for root in (folder, *folder.parents):
        if (root / ".dvc" / "config").is_file():
            if _sees_pointers(root, folder):
                return DvcProject(root, folder)
            break
    _make_project(folder)
    return DvcProject(folder, folder)


def pin(
    store: Store,
    dataset: str,
    version: str,
    files: Sequence[str],
    project: DvcProject,
    *,
    remote: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> PinResult:
    """Write `<file>.dvc` for every file of a version, and push their data when there is a remote.

    `remote` is the name of a remote of the project, or a URL or absolute path to push to. Pinning the same
    bytes again changes no byte of a pointer. Artifacts are copied (where the file system can, by reference)
    into DVC's cache and stay as they are: neither moved nor linked nor read-only, so that writing one again
    cannot damage the cache. Other processes that hold DVC's lock are waited for.

    Raises:
        ArtifactMissing: a file is not in the store.
        DvcFailed: DVC failed, or the push failed three times.
    """
    with _alone(project.root), _local_files(store, dataset, version, files, project) as paths:
        targets = [path.relative_to(project.root).as_posix() for path in paths]
        _dvc(project.root, ["add", "--no-relink", *targets], _WRITABLE)
        pointers = tuple(
            _read_pointer(project.root, name, target) for name, target in zip(files, targets, strict=True)
        )
    if remote is None:
        return PinResult(pointers, project.root, None)
    _push(project.root, remote, [pointer.pointer for pointer in pointers], sleep)
    return PinResult(pointers, project.root, _without_credentials(remote))


def write_metrics(
    project: DvcProject, dataset: str, version: str, metrics: Mapping[str, int | float | str]
) -> Path:
    """Write the metrics of a version, and make those of the newest version the dataset's (path returned).

    `<dataset>/<version>/metrics.json` is for comparing releases by path; `<dataset>/metrics.json`, which
    `<dataset>/dvc.yaml` declares, is what `dvc metrics show` and `dvc metrics diff` read unasked. `metrics`
    is flat: DVC shows each key as a column.
    """
    folder = project.folder / dataset
    text = orjson.dumps(
        {"version": version, **metrics}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )
    _replace(folder / version / METRICS_FILE, text)
    current = folder / METRICS_FILE
    shown = None
    # Of two releases that end together, the older must not have the last word: look again after writing.
    while shown != (newest := _newest_with_metrics(folder)):
        _replace(current, (newest / METRICS_FILE).read_bytes())
        shown = newest
    _replace(folder / "dvc.yaml", f"metrics:\n- {METRICS_FILE}\n".encode())
    return current


def _newest_with_metrics(folder: Path) -> Path:
    released = (path.parent for path in folder.glob(f"*/{METRICS_FILE}"))
    return max(released, key=lambda path: version_number(path.name) or 0)


def _is_local(store: Store) -> bool:
    return "://" not in store.root


def _sees_pointers(root: Path, folder: Path) -> bool:
    """Whether the project at `root` will read pointers under `folder`: DVC refuses what Git ignores."""
    config = ConfigParser()
    config.read(root / ".dvc" / "config")
    if config.getboolean("core", "no_scm", fallback=False):
        return True
    pointer = folder / "dataset" / "v0001" / "artifact.dvc"
    ignored = subprocess.run(  # noqa: S603
        ["git", "-C", str(root), "check-ignore", "--quiet", str(pointer)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    # 0: ignored; 128: no Git work tree here, for example a copy of the sources in an image.
    return ignored.returncode == 1


def _make_project(root: Path) -> None:
    """Do what `dvc init --no-scm` does, without telemetry; two processes may do it at once."""
    # Last, because it makes the folder a project; the rules are for a store inside somebody's Git work tree.
    _replace(root / ".dvc" / ".gitignore", b"/config.local\n/tmp\n/cache\n")
    _replace(root / ".dvc" / "config", _PROJECT_CONFIG.encode())


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One pin of a project at a time, those of other processes included; a lock of a dead one is gone.

    DVC's own lock is not enough: it ends with the command, and the next one empties a pointer before it writes it,
    also when nothing changes. Two pins of one version would read each other's empty files, or, from S3, remove them.
    """
    try:
        (root / ".dvc" / "tmp").mkdir(exist_ok=True)
        lock = os.open(root / ".dvc" / "tmp" / "automend-pins.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise DvcFailed("dvc add", root, f"{error}.", _WRITABLE) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def _local_files(
    store: Store, dataset: str, version: str, files: Sequence[str], project: DvcProject
) -> Iterator[list[Path]]:
    """The artifacts as files of the project: a local store's own, or copies for the time of the block."""
    paths = [project.folder / dataset / version / name for name in files]
    with ExitStack() as cleanup:
        for name, path in zip(files, paths, strict=True):
            artifact = store.require(dataset, version, name)
            if not _is_local(store):
                path.parent.mkdir(parents=True, exist_ok=True)
                cleanup.callback(path.unlink, missing_ok=True)
                artifact.fs.get_file(str(artifact), str(path))
        yield paths


def _read_pointer(root: Path, name: str, target: str) -> Pointer:
    import yaml

    pointer = f"{target}.dvc"
    (out,) = yaml.safe_load((root / pointer).read_bytes())["outs"]
    return Pointer(name, pointer, out["md5"], out["size"])


def _push(root: Path, remote: str, pointers: list[str], sleep: Callable[[float], None]) -> None:
    name = _configured(root, remote)
    for wait in (*_PUSH_WAITS_S, None):
        try:
            _dvc(
                root,
                ["push", "--remote", name, *pointers],
                "The version is pinned but not pushed. Check AUTOMEND_DVC_REMOTE, `dvc remote list`, and the"
                " remote's endpoint and credentials; then materialise the release again.",
            )
        except DvcFailed as error:
            if wait is None or "config file error" in error.message:
                raise
            sleep(wait)
        else:
            return


def _configured(root: Path, remote: str) -> str:
    """The name of `remote`, configured for this machine only when it is a URL or a path."""
    if "://" not in remote and not Path(remote).is_absolute():
        return remote
    local = ConfigParser(interpolation=None)
    local.read(root / ".dvc" / "config.local")
    known = local.get(f"'remote \"{REMOTE_NAME}\"'", "url", fallback=None)
    # DVC keeps a path relative to .dvc. A remote that has not changed keeps what a user added to it.
    if known is None or (known != remote and os.path.normpath(root / ".dvc" / known) != remote):
        _dvc(
            root,
            ["remote", "add", "--local", "--force", REMOTE_NAME, remote],
            "Set AUTOMEND_DVC_REMOTE to the name of a DVC remote, or to a URL such as s3://bucket/prefix.",
        )
    return REMOTE_NAME


def _dvc(root: Path, arguments: list[str], remedy: str) -> None:
    done = subprocess.run(  # noqa: S603
        # -P: nothing in the project's folder can pose as a module of DVC.
        [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", *arguments],
        cwd=root,
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DvcFailed(" ".join(["dvc", *arguments]), root, _message(done.stderr, done.returncode), remedy)


def _message(stderr: str, code: int) -> str:
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    lines = errors or [line for line in stderr.splitlines() if line.strip()][-5:]
    return " ".join(lines).rstrip(".") + "." if lines else f"exit code {code}."


def _without_credentials(text: str) -> str:
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and only when its content differs."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as draft:
        try:
            draft.write(content)
            draft.close()
            Path(draft.name).chmod(0o644)
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
