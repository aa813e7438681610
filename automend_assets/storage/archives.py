"""Folders as one zip and back: the same bytes for the same folder, and no harm from anybody's archive.

Here: packing, and unpacking within limits. Not here: what is in an archive (`datasets/typos/artifact.py`).

A model is kept as one file, so that it is published whole on every store; and archives come from a Hub that others
write to. What an archive says of its entries is not believed: bytes are counted as they come out.
"""

from __future__ import annotations

import errno
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automend_assets.errors import PermanentError

_READ_BYTES = 1 << 20
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can say
_DRIVE = re.compile(r"^[A-Za-z]:")
# Formats that run code when they are loaded.
PICKLES = (".bin", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".keras")
_SMALL = 1 << 20


class UnsafeArchive(PermanentError):
    """An archive that is none, reaches out of its folder, is too large or too many, or holds what can run code."""


@dataclass(frozen=True)
class Limits:
    """What an archive may come to: bytes and files in all, and how often larger than the archive its content may be.

    The ratio counts beyond the first MiB, below which it says nothing.
    """

    bytes: int = 4 << 30
    files: int = 500
    ratio: float = 100.0


def pack(folder: Path, file: Path) -> None:
    """Write all files of `folder` to the zip `file`: sorted, not compressed, without times or rights.

    Weights do not compress, and so the bytes are the same with every version of zlib.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=True) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _LONG_AGO)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.create_system = 3
            # Known before it is written, or zipfile has to assume a file beyond 4 GiB.
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while chunk := source.read(_READ_BYTES):
                    target.write(chunk)


def unpack(file: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack the zip `file` into `folder`, which is made if it is missing.

    Raises:
        UnsafeArchive: it is no zip, is damaged or encrypted; an entry leads out of the folder, is a link or comes
            twice; it exceeds the limits, whatever it says of itself; or it holds a format that can run code.
    """
    limits = limits or Limits()
    allowed = _allowed(limits, file.stat().st_size)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked(file.name, archive.infolist(), limits, allowed)
            for entry, path in entries:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                allowed -= _extract(file, archive, entry, target, allowed)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        # A table of contents that points to before the file ends in EINVAL; other numbers are the disk's.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UnsafeArchive(f"{file.name} cannot be unpacked: it is damaged or no zip ({error}).") from error
    except Exception as error:
        # zlib, lzma and bz2 have errors of their own.
        if isinstance(error, PermanentError):
            raise
        raise UnsafeArchive(f"{file.name} cannot be unpacked: it is damaged ({error}).") from error


def check(archive: zipfile.ZipFile, name: str, size: int, limits: Limits | None = None) -> None:
    """Refuse an open zip of `size` bytes for what its table of contents says, as `unpack` would.

    Raises UnsafeArchive.
    """
    limits = limits or Limits()
    _checked(name, archive.infolist(), limits, _allowed(limits, size))


def _allowed(limits: Limits, size: int) -> int:
    return min(limits.bytes, int(limits.ratio * size) + _SMALL)


def _checked(
    name: str, entries: list[zipfile.ZipInfo], limits: Limits, allowed: int
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    if len(entries) > limits.files:
        raise UnsafeArchive(f"{name} has {len(entries):,} entries, and {limits.files:,} are allowed.")
    if sum(entry.file_size for entry in entries) > allowed:
        raise UnsafeArchive(f"{name} would unpack to more than {allowed:,} bytes, which is not allowed.")
    found: dict[str, PurePosixPath] = {}
    files = []
    for entry in entries:
        path = _safe_path(name, entry)
        # Some file systems do not tell upper from lower case.
        if str(path).casefold() in found:
            raise UnsafeArchive(f"{name} has {entry.filename!r} twice.")
        found[str(path).casefold()] = path
        if entry.is_dir():
            continue
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise UnsafeArchive(f"{name} has {entry.filename!r}, which is no plain file.")
        if entry.flag_bits & 0x1:
            raise UnsafeArchive(f"{name} is encrypted.")
        if path.suffix.lower() in PICKLES:
            raise UnsafeArchive(
                f"{name} has {entry.filename!r}, a format that can run code when it is loaded. Save the model as"
                " safetensors."
            )
        files.append((entry, path))
    inner = {str(parent).casefold() for _, path in files for parent in path.parents}
    if clash := sorted(str(path) for _, path in files if str(path).casefold() in inner):
        raise UnsafeArchive(f"{name} has {clash[0]!r} as a file and as a folder.")
    return files


def _safe_path(archive: str, entry: zipfile.ZipInfo) -> PurePosixPath:
    # As it is in the archive: `filename` ends at a zero byte and has its separators replaced.
    name = entry.orig_filename
    path = PurePosixPath(name)
    unsafe = (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or _DRIVE.match(name)
        or any(ord(character) < 32 for character in name)
    )
    if unsafe:
        raise UnsafeArchive(f"{archive} has {name!r}, which leads out of its folder.")
    return path


def _extract(file: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, allowed: int) -> int:
    written = 0
    with archive.open(entry) as source, target.open("xb") as out:
        while chunk := source.read(_READ_BYTES):
            written += len(chunk)
            if written > allowed:
                raise UnsafeArchive(f"{file.name} unpacks to more than it is allowed to.")
            out.write(chunk)
    return written
