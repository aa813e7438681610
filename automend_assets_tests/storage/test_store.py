"""The store: the same promises in a folder and in S3, also when things go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

from automend_assets.errors import PermanentError, TransientError
from automend_assets.storage.store import (
    ArtifactMissing,
    Store,
    StoreMisconfigured,
    StoreNotReadable,
    StoreNotWritable,
    StoreUnreachable,
)
from automend_assets_tests.servers.s3 import S3Server

WORKER = Path(__file__).with_name("write_worker.py")
NAME = ("glaive", "v0001", "raw_sample.parquet")


def put(store: Store, data: bytes, name: tuple[str, str, str] = NAME) -> None:
    with store.write(*name) as file:
        file.write_bytes(data)


def test_what_was_written_is_found_where_it_belongs(any_store: Store) -> None:
    assert not any_store.exists(*NAME)
    put(any_store, b"first")
    assert any_store.exists(*NAME)
    assert any_store.read_bytes(*NAME) == b"first"
    assert any_store.url(*NAME) == f"{any_store.root}/glaive/v0001/raw_sample.parquet"
    assert any_store.path(*NAME).read_bytes() == b"first"
    put(any_store, b"second")
    assert any_store.read_bytes(*NAME) == b"second"


def test_an_error_while_writing_publishes_nothing_and_keeps_what_was_there(any_store: Store) -> None:
    def fail(data: bytes) -> None:
        with any_store.write(*NAME) as file:
            file.write_bytes(data)
            raise LookupError("on purpose")

    with pytest.raises(LookupError):
        fail(b"half")
    assert not any_store.exists(*NAME)
    put(any_store, b"whole")
    with pytest.raises(LookupError):
        fail(b"half")
    assert any_store.read_bytes(*NAME) == b"whole"


def test_only_the_artifact_is_left_behind(store: Store, s3_store: Store, s3: S3Server, bucket: str) -> None:
    for each in (store, s3_store):
        put(each, b"whole")
    files = [path for path in Path(store.root).rglob("*") if path.is_file()]
    assert files == [Path(store.url(*NAME))]
    assert s3.keys(bucket) == ["store/glaive/v0001/raw_sample.parquet"]


def test_a_large_file_goes_to_s3_in_parts_and_appears_whole(
    s3_store: Store, s3: S3Server, bucket: str
) -> None:
    data = os.urandom(40 * 2**20)
    put(s3_store, data)
    assert s3_store.read_bytes(*NAME) == data
    assert s3.unfinished_uploads(bucket) == 0


def test_frames_are_scanned_lazily_where_they_are(any_store: Store) -> None:
    frame = pl.DataFrame({"row_number": range(1_000), "chat": ["ü"] * 1_000})
    with any_store.write(*NAME) as file:
        frame.write_parquet(file)
    scanned = any_store.scan_parquet(*NAME)
    assert isinstance(scanned, pl.LazyFrame)
    assert scanned.filter(pl.col("row_number") == 7).collect().rows() == [(7, "ü")]


@pytest.mark.parametrize("read", [Store.read_bytes, Store.scan_parquet, Store.require])
def test_a_missing_artifact_names_the_command_that_makes_it(
    any_store: Store, read: Callable[[Store, str, str, str], object]
) -> None:
    with pytest.raises(ArtifactMissing) as raised:
        read(any_store, "glaive", "v0002", "raw_sample.parquet")
    message = str(raised.value)
    assert message.startswith("glaive/raw_sample of version v0002 is not in the store")
    assert any_store.root in message
    assert message.endswith(
        "dagster asset materialize -m automend_assets.definitions --select glaive/raw_sample --partition v0002"
    )
    assert isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize("segment", ["", ".", "..", "../x", "a/b", ".staging", "a\0", "a b", "v0001\n", "-x"])
def test_a_name_cannot_leave_its_place(store: Store, segment: str) -> None:
    for name in (
        (segment, "v0001", "a.json"),
        ("glaive", segment, "a.json"),
        ("glaive", "v0001", segment),
    ):
        with pytest.raises(ValueError, match="cannot be part of an artifact's path"):
            store.url(*name)


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///prefix", "s3://key:tops3cret@bucket/x", "gs://bucket", "http://host"]
)
def test_a_url_that_cannot_be_a_store_is_refused(url: str) -> None:
    with pytest.raises(StoreMisconfigured, match="set AUTOMEND_STORE to") as raised:
        Store(url)
    assert "tops3cret" not in str(raised.value)


def test_a_relative_folder_means_the_same_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("data/store")
    monkeypatch.chdir("/")
    assert store.root == str(tmp_path / "data" / "store")


def test_readers_see_the_old_or_the_new_file_while_it_is_replaced(store: Store) -> None:
    versions = {bytes([letter]) * 3_000_000 for letter in b"ab"}
    put(store, next(iter(versions)))
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            for data in versions:
                put(store, data)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(30):
            assert store.read_bytes(*NAME) in versions
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("asset", ["raw_sample", "chatml"])
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_killed_materialisation_is_never_read_and_the_rerun_completes(
    kind: str, asset: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Store = request.getfixturevalue("store" if kind == "folder" else "s3_store")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    name = ("glaive", "v0001", f"{asset}.{'parquet' if asset == 'raw_sample' else 'jsonl'}")
    staged = Path(store.root, ".staging") if kind == "folder" else temporary

    with subprocess.Popen(
        [sys.executable, WORKER, store.root, "hang", asset], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half-way\n"
        process.kill()

    halves = [path for path in staged.rglob(name[2]) if path.is_file()]
    assert len(halves) == 1, "the process was to die with half a file"
    assert not store.exists(*name)
    with pytest.raises(ArtifactMissing):
        store.require(*name)

    put(store, b"whole", name)
    assert store.read_bytes(*name) == b"whole"
    assert [path for path in staged.rglob("*") if path.is_file()] == [], "the half file was not cleared away"


def test_clearing_away_spares_the_files_of_running_writers(store: Store) -> None:
    with store.staging() as mine:
        (mine / "half").write_bytes(b"half")
        code = (
            "import sys; from automend_assets.storage.store import Store\n"
            "with Store(sys.argv[1]).staging() as other: (other / 'x').touch()"
        )
        subprocess.run([sys.executable, "-c", code, store.root], check=True, timeout=60)
        assert (mine / "half").read_bytes() == b"half"
    assert not mine.exists()


def write_to_a_full_disk(store: Store) -> None:
    with store.write(*NAME) as file:
        file.symlink_to("/dev/full")
        file.write_bytes(b"x" * 100_000)


def sink_to_a_full_disk(store: Store) -> None:
    with store.write(*NAME) as file:
        file.symlink_to("/dev/full")
        pl.LazyFrame({"row_number": range(100_000)}).sink_parquet(file)


@pytest.mark.parametrize("write", [write_to_a_full_disk, sink_to_a_full_disk])
def test_a_full_disk_is_named_with_the_store_and_what_to_do(
    store: Store, write: Callable[[Store], None]
) -> None:
    with pytest.raises(StoreNotWritable, match=r"No space left on device.*Make room on that disk") as raised:
        write(store)
    assert store.root in str(raised.value)
    assert not store.exists(*NAME)


def test_a_full_temporary_folder_is_named_for_s3(s3_store: Store) -> None:
    with pytest.raises(StoreNotWritable, match="set TMPDIR"):
        write_to_a_full_disk(s3_store)
    assert not s3_store.exists(*NAME)


def test_a_file_size_limit_counts_as_not_writable(store: Store) -> None:
    ran = subprocess.run(
        [sys.executable, WORKER, store.root, "limit", "50000"], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.startswith("StoreNotWritable Cannot write to the store")
    assert "File too large" in ran.stdout
    assert not store.exists(*NAME)


@pytest.mark.parametrize("root", ["/sys/automend", "/dev/null/store"])
def test_a_place_that_takes_no_files_is_named_with_what_to_do(root: str) -> None:
    # /sys takes no folders, neither from root nor from anybody else.
    with pytest.raises(StoreNotWritable, match=rf"Cannot write to the store {root} .*AUTOMEND_STORE"):
        put(Store(root), b"x")


def test_an_error_that_is_not_the_stores_is_not_blamed_on_it(any_store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="/no/such/source"), any_store.write(*NAME):
        Path("/no/such/source").read_bytes()
    with pytest.raises(FileNotFoundError, match="Nothing was written"), any_store.write(*NAME):
        pass


def test_a_folder_in_the_place_of_an_artifact_is_not_read_as_missing(store: Store) -> None:
    Path(store.url(*NAME)).mkdir(parents=True)
    with pytest.raises(StoreNotReadable, match="Is a directory"):
        store.read_bytes(*NAME)


def test_a_bucket_that_does_not_exist_is_named(s3_environment: S3Server) -> None:
    with pytest.raises(StoreNotWritable, match=r"s3://no-such-bucket/.*bucket does not exist"):
        put(Store("s3://no-such-bucket/store"), b"x")


def test_wrong_keys_are_an_error_and_not_an_empty_store(s3_store: Store) -> None:
    put(s3_store, b"x")
    code = (
        "import sys; from automend_assets.storage.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "try: print(store.exists('glaive', 'v0001', 'raw_sample.parquet'))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "try:\n"
        "    with store.write('glaive', 'v0001', 'raw_sample.parquet') as file: file.write_bytes(b'y')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, s3_store.root],
        env={**os.environ, "AWS_SECRET_ACCESS_KEY": "tops3cret"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = ran.stdout.splitlines()
    assert told[0].startswith("StoreNotReadable Cannot read s3://")
    assert told[1].startswith("StoreNotWritable Cannot write s3://")
    assert "AWS_SECRET_ACCESS_KEY" in told[0]
    assert "tops3cret" not in ran.stdout + ran.stderr
    assert s3_store.read_bytes(*NAME) == b"x"


def test_an_endpoint_that_does_not_answer_can_be_tried_again(
    s3_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnreachable, match=r"Could not connect.*AWS_ENDPOINT_URL") as raised:
        s3_store.exists(*NAME)
    assert isinstance(raised.value, TransientError)
    with pytest.raises(StoreUnreachable, match="Cannot write s3://"):
        put(s3_store, b"x")
    assert not issubclass(StoreNotWritable, TransientError)
    assert issubclass(StoreNotWritable, PermanentError)


class BusyS3(BaseHTTPRequestHandler):
    """Answers every request with the server's `status` and `code`, as S3 does when it has no time."""

    protocol_version = "HTTP/1.1"
    status: ClassVar[int]
    code: ClassVar[str]

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"" if self.command == "HEAD" else f"<Error><Code>{self.code}</Code></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET = do_PUT = refuse

    def log_message(self, *_: object) -> None:
        """Nothing on the test's standard error."""


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "ServiceUnavailable")])
def test_a_busy_endpoint_can_be_tried_again(
    status: int, code: str, s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = type("Busy", (BusyS3,), {"status": status, "code": code})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        store = Store("s3://bucket/store")
        with pytest.raises(StoreUnreachable):
            store.exists(*NAME)
        with pytest.raises(StoreUnreachable):
            put(store, b"x")
        server.shutdown()
