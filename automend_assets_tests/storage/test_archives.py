"""Zips in and out: the same bytes, and nothing that an archive says of itself is believed."""

from __future__ import annotations

import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automend_assets.storage.archives import Limits, UnsafeArchive, pack, unpack

SEGMENT = st.text("abcxyz019_", min_size=1, max_size=4)
FOLDERS = st.dictionaries(
    st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), st.binary(max_size=200), max_size=8
)


def zipped(file: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], packed: bool = False) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file


@settings(max_examples=50, deadline=None)
@given(FOLDERS)
def test_a_folder_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    place = tmp_path_factory.mktemp("archive")
    written: dict[str, bytes] = {}
    for name, content in files.items():
        path = place / "in" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue  # a file where a folder would have to be
        written[name] = content
    (place / "in").mkdir(exist_ok=True)
    pack(place / "in", place / "one.zip")
    (place / "in").rename(place / "again")
    for path in (place / "again").rglob("*"):
        path.chmod(0o700)
    pack(place / "again", place / "two.zip")
    assert (place / "one.zip").read_bytes() == (place / "two.zip").read_bytes()
    unpack(place / "one.zip", place / "out")
    out = place / "out"
    assert {
        path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()
    } == written


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "a/../../out",
        "/etc/passwd",
        "..",
        "a\\..\\..\\out",
        "C:/windows",
        "C:evil",
        "a/b\x00.txt",
        "line\nbreak",
        "",
    ],
)
def test_no_entry_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = entry.orig_filename = name
    file = zipped(tmp_path / "evil.zip", (entry, b"x"))
    with pytest.raises(UnsafeArchive):
        unpack(file, tmp_path / "deep" / "out")
    assert not list((tmp_path / "deep").rglob("*")) or not any(
        path.is_file() for path in (tmp_path / "deep").rglob("*")
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["evil.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    with pytest.raises(UnsafeArchive, match="no plain file"):
        unpack(zipped(tmp_path / "evil.zip", (entry, b"/etc/passwd")), tmp_path / "out")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "a/MODEL.PKL", "x.pt", "w.h5", "m.joblib", "c.ckpt"])
def test_formats_that_run_code_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchive, match="safetensors"):
        unpack(zipped(tmp_path / "evil.zip", (name, b"x")), tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_comes_once(tmp_path: Path) -> None:
    for names in (("a", "a"), ("a", "A"), ("a", "a/b")):
        file = zipped(tmp_path / "evil.zip", *((name, b"x") for name in names))
        with pytest.raises(UnsafeArchive, match=r"twice|and as a folder"):
            unpack(file, tmp_path / "out")


def test_too_many_and_too_much_are_refused(tmp_path: Path) -> None:
    many = zipped(tmp_path / "many.zip", *((f"{number}", b"") for number in range(20)))
    with pytest.raises(UnsafeArchive, match="20 entries"):
        unpack(many, tmp_path / "out", Limits(files=19))
    bomb = zipped(tmp_path / "bomb.zip", ("zeros", bytes(50_000_000)), packed=True)
    with pytest.raises(UnsafeArchive, match="more than"):
        unpack(bomb, tmp_path / "out")
    assert not (tmp_path / "out" / "zeros").exists()


def test_a_bomb_that_understates_its_size_is_stopped(tmp_path: Path) -> None:
    file = zipped(tmp_path / "bomb.zip", ("zeros", bytes(50_000_000)), packed=True)
    data = bytearray(file.read_bytes())
    small = struct.pack("<I", 100)
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    data[local + 22 : local + 26] = small
    data[central + 24 : central + 28] = small
    file.write_bytes(data)
    with pytest.raises(UnsafeArchive):
        unpack(file, tmp_path / "out")
    written = tmp_path / "out" / "zeros"
    assert not written.exists() or written.stat().st_size <= 100


def test_encrypted_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "a.zip", ("a", b"content"))
    good = file.read_bytes()
    encrypted = bytearray(good)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[good.index(magic) + offset] |= 1
    damaged = good.replace(b"content", b"kontent")
    for content in (bytes(encrypted), damaged, good[:20], b"", b"no zip at all"):
        file.write_bytes(content)
        with pytest.raises(UnsafeArchive):
            unpack(file, tmp_path / "out")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_ends_in_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("fuzz")
    file = zipped(place / "a.zip", ("a/b", b"first" * 20), ("c", b"second" * 20), packed=True)
    content = bytearray(file.read_bytes())
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)
    ):
        content[at] = value
    file.write_bytes(content)
    with suppress(UnsafeArchive):
        unpack(file, place / "out", Limits(bytes=10_000))
    assert {path.name for path in place.iterdir()} <= {"a.zip", "out"}
    assert sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) < 20_000
