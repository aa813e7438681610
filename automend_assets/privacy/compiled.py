"""Hyperscan's databases, compiled once per user and machine: compiling all rules takes a second, loading them does not.

Here: compiling, keeping and loading. Not here: the patterns (`privacy.rules`), scanning (`privacy.scanner`).

A database is kept as `$XDG_CACHE_HOME/automend/hyperscan-<key>.db` (`~/.cache` by default); the key is a hash of the
patterns, of hyperscan's version and of what kind of processor this is. Hyperscan itself checks no more than a CRC of
what it loads, and bytes that somebody made up could bring down the process. So a file is loaded only if it and its
folder belong to this user and nobody else can write there, and if its SHA-256 is right: whoever can forge that can
change this module as well. Whatever is wrong with a file or folder, the patterns are compiled instead, and never an
error. Where files have no owners (Windows), nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from automend_assets.errors import PermanentError

if TYPE_CHECKING:
    import hyperscan

_FEWEST_PATTERNS = 32
"""Fewer are compiled in no time."""
_MOST_FILES = 4
_MOST_BYTES = 64 << 20
_DIGEST_BYTES = 32


class UnreadablePattern(PermanentError):
    """Hyperscan cannot compile the patterns."""


def compiled(patterns: Sequence[str]) -> hyperscan.Database:
    """A database in block mode that names the patterns that may match, by position, each at most once.

    Raises ImportError where hyperscan is missing, and UnreadablePattern.
    """
    import hyperscan

    if len(patterns) < _FEWEST_PATTERNS:
        return _compile(patterns)
    path = _path(patterns)
    if path is None:
        return _compile(patterns)
    content = _read(path)
    if content is not None:
        with suppress(hyperscan.error):
            database = hyperscan.loadb(content, hyperscan.HS_MODE_BLOCK)
            database.scratch = hyperscan.Scratch(database)
            return database
    database = _compile(patterns)
    _write(path, hyperscan.dumpb(database))
    return database


def _compile(patterns: Sequence[str]) -> hyperscan.Database:
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[pattern.encode("ascii") for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[_flags()] * len(patterns),
        )
    except hyperscan.error as problem:
        raise UnreadablePattern(f"hyperscan cannot read the patterns of the rules: {problem}") from None
    return database


def _flags() -> int:
    import hyperscan

    return int(hyperscan.HS_FLAG_PREFILTER | hyperscan.HS_FLAG_SINGLEMATCH)


def _path(patterns: Sequence[str]) -> Path | None:
    """Where the database of `patterns` is kept; None where no folder is this user's alone."""
    if not hasattr(os, "geteuid"):
        return None
    import hyperscan

    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "automend"
        if not folder.is_absolute():
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except (OSError, RuntimeError):
        return None
    if not stat.S_ISDIR(found.st_mode) or not _is_mine(found):
        return None
    key = hashlib.sha256()
    version = hyperscan.__version__  # type: ignore[attr-defined]
    for part in (version, _processor(), str(_flags()), *patterns):
        key.update(b"%d:" % len(part) + part.encode())
    return folder / f"hyperscan-{key.hexdigest()[:32]}.db"


def _processor() -> str:
    """What tells processors apart for which different code is compiled."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            first = [line for _, line in zip(range(64), lines, strict=False)]
    except OSError:
        first = []
    names = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer", "CPU part")
    told = {line.partition(":")[0].strip(): line for line in reversed(first)}
    return "".join([platform.machine(), platform.system(), *(told.get(name, "") for name in names)])


def _is_mine(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(path: Path) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or not _is_mine(found) or found.st_size > _MOST_BYTES:
                return None
            digest, content = file.read(_DIGEST_BYTES), file.read(_MOST_BYTES)
    except OSError:
        return None
    return content if digest == _digest(path, content) else None


def _digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + content).digest()


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place at once, and remove those that older versions have left."""
    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".hyperscan-")
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(path, content) + content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        kept = sorted(path.parent.glob("hyperscan-*.db"), key=lambda old: old.stat().st_mtime, reverse=True)
        for old in kept[_MOST_FILES:]:
            old.unlink(missing_ok=True)
