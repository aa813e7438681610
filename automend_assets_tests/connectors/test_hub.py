"""HubResource against a loopback Hub: what it reads, what it tries again, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from automend_assets.connectors.hub import (
    HubFile,
    HubFileMissing,
    HubGated,
    HubRepoMissing,
    HubResource,
    HubRevisionMissing,
    HubTokenInvalid,
    HubTokenMissing,
    HubUnreachable,
)
from automend_assets.errors import PermanentError, TransientError
from automend_assets_tests.servers.hub import LoopbackHub, dead_endpoint

REPO = "acme/rows"
SMALL = b"abc" * 1_000
LARGE = hashlib.sha256(b"seed").digest() * 100_000  # 3.2 MB


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the token of whoever runs the tests out of them."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def server() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        server.add_files("datasets", REPO, {"small.json": SMALL, "data/large.parquet": LARGE})
        yield server


def client(server: LoopbackHub, token: str | None = None, attempts: int = 4) -> HubResource:
    return HubResource(
        endpoint=server.url, token=token, attempts=attempts, backoff_seconds=0.01, timeout_seconds=1
    )


def read(hub: HubResource, revision: str, file: HubFile) -> bytes:
    with io.BufferedReader(hub.open(REPO, revision, file)) as stream:
        return stream.read()


SMALL_FILE, LARGE_FILE = HubFile("small.json", len(SMALL)), HubFile("data/large.parquet", len(LARGE))


def test_a_branch_resolves_to_the_commit_that_it_is_now(server: LoopbackHub) -> None:
    hub = client(server)
    first = hub.resolve_revision(REPO)
    assert len(first) == 40
    second = server.add_files("datasets", REPO, {"more.json": b"[]"})
    assert hub.resolve_revision(REPO, "main") == second != first
    assert hub.resolve_revision(REPO, first) == hub.resolve_revision(REPO, first[:10]) == first


def test_files_are_listed_with_sizes_over_all_pages(server: LoopbackHub) -> None:
    commit = server.add_files(
        "datasets", "acme/many", {f"{i // 500}/{i:04}.txt": b"x" * i for i in range(2_300)}
    )
    files = client(server).list_files("acme/many", commit)
    assert files == [HubFile(f"{i // 500}/{i:04}.txt", i) for i in range(2_300)]
    assert sum("/tree/" in request.path for request in server.requests) == 3


@pytest.mark.parametrize(("file", "content"), [(SMALL_FILE, SMALL), (LARGE_FILE, LARGE)])
def test_a_file_is_read_to_its_last_byte(server: LoopbackHub, file: HubFile, content: bytes) -> None:
    hub = client(server)
    assert read(hub, hub.resolve_revision(REPO), file) == content


def test_a_seek_fetches_from_there_and_not_the_whole(server: LoopbackHub) -> None:
    hub = client(server)
    with hub.open(REPO, "main", LARGE_FILE) as stream:
        stream.seek(-8, io.SEEK_END)
        assert stream.read(8) == LARGE[-8:]
        assert stream.read(8) == b""
        stream.seek(5)
        assert stream.read(1) == LARGE[5:6]
        assert stream.tell() == 6
    assert {r.headers["range"] for r in server.requests} == {f"bytes={len(LARGE) - 8}-", "bytes=5-"}


def test_the_token_goes_to_the_hub_and_not_on_to_the_cdn(server: LoopbackHub) -> None:
    server.restrict("datasets", REPO, private=True, allowed={"bob"})
    assert read(client(server, token="hf_ro"), "main", LARGE_FILE) == LARGE
    sent = {r.path.split("/")[1]: r.headers.get("authorization") for r in server.requests}
    assert sent == {"datasets": "Bearer hf_ro", "_cdn": None}


@pytest.mark.parametrize("cut_at", [0, 1, 100_000])
def test_a_body_that_breaks_off_is_taken_up_at_that_byte(server: LoopbackHub, cut_at: int) -> None:
    server.fail("/_cdn/", truncate=cut_at, times=3)
    assert read(client(server), "main", LARGE_FILE) == LARGE
    starts = [int(r.headers["range"][6:-1]) for r in server.requests if "/_cdn/" in r.path]
    assert starts == [0, cut_at, 2 * cut_at, 3 * cut_at]


def test_a_server_without_ranges_is_read_from_the_start_and_skipped(server: LoopbackHub) -> None:
    server.ignore_ranges = True
    server.fail("/_cdn/", truncate=70_000, times=1)
    assert read(client(server), "main", LARGE_FILE) == LARGE


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (r"/api/datasets/.*/revision/", 503),
        ("/tree/", 500),
        ("/resolve/", 500),
        ("/_cdn/", 503),
        ("/_cdn/", 403),
    ],
)
def test_what_the_clients_do_not_try_again_is_tried_again(
    server: LoopbackHub, path: str, status: int
) -> None:
    server.fail(path, status=status, times=3)
    hub = client(server)
    commit = hub.resolve_revision(REPO)
    assert LARGE_FILE in hub.list_files(REPO, commit)
    assert read(hub, commit, LARGE_FILE) == LARGE


def test_silence_is_a_failed_attempt(server: LoopbackHub) -> None:
    server.fail("/resolve/", delay=5, times=1)
    began = time.monotonic()
    assert read(client(server), "main", SMALL_FILE) == SMALL
    assert 1 <= time.monotonic() - began < 5


@pytest.mark.parametrize("headers", [{"Retry-After": "2"}, {"ratelimit": '"resolvers";r=0;t=1'}])
def test_a_rate_limit_is_waited_for_as_long_as_the_hub_asks(
    server: LoopbackHub, headers: dict[str, str]
) -> None:
    server.fail("/resolve/", status=429, headers=headers)
    began = time.monotonic()
    assert read(client(server), "main", SMALL_FILE) == SMALL
    assert time.monotonic() - began >= 2


def test_a_rate_limit_of_an_hour_is_an_error_at_once(server: LoopbackHub) -> None:
    server.fail("/resolve/", status=429, headers={"Retry-After": "3600"})
    with pytest.raises(HubUnreachable, match=r"1 attempt.*asks to wait 3600 s"):
        read(client(server), "main", SMALL_FILE)


def test_after_the_last_attempt_the_error_says_what_to_do(server: LoopbackHub) -> None:
    server.fail("/revision/", status=503, times=99)
    with pytest.raises(
        HubUnreachable, match=r"in 4 attempt.*HTTP 503.*check the network.*--source sample"
    ) as caught:
        client(server).resolve_revision(REPO)
    assert isinstance(caught.value, TransientError)
    assert sum("/revision/" in request.path for request in server.requests) == 4


def test_no_network_is_one_clear_error() -> None:
    with dead_endpoint() as endpoint:
        hub = HubResource(endpoint=endpoint, attempts=3, backoff_seconds=0.01)
        with pytest.raises(HubUnreachable, match=r"in 3 attempt.*ConnectError.*HF_ENDPOINT"):
            hub.resolve_revision(REPO)


def test_a_login_page_in_place_of_the_hub_is_said_so() -> None:
    class LoginPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Please log in</html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), LoginPage) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        hub = HubResource(endpoint=f"http://127.0.0.1:{proxy.server_port}", attempts=2, backoff_seconds=0.01)
        with pytest.raises(HubUnreachable, match=r"not the Hub's.*check the network, the proxy"):
            hub.resolve_revision(REPO)
        with pytest.raises(HubUnreachable, match="not the Hub's"):
            hub.list_files(REPO, "main")
        proxy.shutdown()


def test_a_server_that_dies_in_the_middle(server: LoopbackHub) -> None:
    server.fail("/_cdn/", truncate=1_000_000)
    stream = client(server).open(REPO, "main", LARGE_FILE)
    assert stream.read(1) == LARGE[:1]
    server.stop()
    with stream, pytest.raises(HubUnreachable):
        stream.readall()


def cut_and_read(hub: HubResource, repo: str, revision: str) -> None:
    commit = hub.resolve_revision(repo, revision)
    hub.list_files(repo, commit)
    hub.open(repo, commit, HubFile("gone.json", 10)).read(1)


def refused(
    server: LoopbackHub, token: str | None, revision: str = "main", repo: str = REPO
) -> PermanentError:
    """The permanent error of cutting and reading; asked for once, not retried."""
    with pytest.raises(PermanentError) as caught:
        cut_and_read(client(server, token), repo, revision)
    assert (token or "no token") not in str(caught.value)
    asked = [(r.method, r.path) for r in server.requests]
    assert len(asked) == len(set(asked))
    return caught.value


def test_private_without_a_token(server: LoopbackHub) -> None:
    server.restrict("datasets", REPO, private=True, allowed={"bob"})
    error = refused(server, None)
    assert isinstance(error, HubTokenMissing)
    assert "set HF_TOKEN" in str(error)


def test_gated_without_a_token(server: LoopbackHub) -> None:
    server.restrict("datasets", REPO, gated=True, allowed={"alice"})
    error = refused(server, None)
    assert isinstance(error, HubTokenMissing)
    assert f"terms at {server.url}/datasets/{REPO}" in str(error)


def test_gated_and_terms_not_accepted(server: LoopbackHub) -> None:
    server.restrict("datasets", REPO, gated=True, allowed={"alice"})
    error = refused(server, "hf_ro")
    assert isinstance(error, HubGated)
    assert f"accept its terms at {server.url}/datasets/{REPO}" in str(error)


def test_a_token_that_the_hub_does_not_know(server: LoopbackHub) -> None:
    assert isinstance(refused(server, "hf_revoked"), HubTokenInvalid)


def test_a_repository_that_is_not_there(server: LoopbackHub) -> None:
    assert isinstance(refused(server, "hf_ro", repo="acme/none"), HubRepoMissing)
    server.requests.clear()
    assert isinstance(refused(server, None, repo="acme/none"), HubTokenMissing)


def test_a_name_that_is_no_repository(server: LoopbackHub) -> None:
    assert isinstance(refused(server, None, repo="https://example.org/a/b/c"), HubRepoMissing)


def test_a_revision_that_is_gone(server: LoopbackHub) -> None:
    commit = client(server).resolve_revision(REPO)
    server.rewrite_history("datasets", REPO)
    server.requests.clear()
    error = refused(server, None, revision=commit)
    assert isinstance(error, HubRevisionMissing)
    assert commit in str(error)
    assert "cut a new version" in str(error)
    with pytest.raises(HubRevisionMissing):
        read(client(server), commit, SMALL_FILE)


def test_a_file_that_is_not_in_the_commit(server: LoopbackHub) -> None:
    error = refused(server, None)
    assert isinstance(error, HubFileMissing)
    assert "gone.json" in str(error)


def test_the_token_shows_nowhere() -> None:
    hub = HubResource(token="hf_secret_value")
    assert "hf_secret_value" not in f"{hub!r} {hub}"


def test_the_token_of_the_environment_is_used(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.restrict("datasets", REPO, private=True, allowed={"bob"})
    monkeypatch.setenv("HF_TOKEN", "hf_ro")
    assert read(client(server), "main", SMALL_FILE) == SMALL


def test_offline_mode_is_named_as_the_cause(server: LoopbackHub) -> None:
    script = (
        "from automend_assets.connectors.hub import HubResource, HubOffline\n"
        f"try: HubResource(endpoint={server.url!r}).resolve_revision('a/b')\n"
        "except HubOffline as error: print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert "unset it" in done.stdout


def test_importing_and_making_the_resource_loads_no_client() -> None:
    script = (
        "import sys\n"
        "from automend_assets.connectors.hub import HubResource\n"
        "HubResource()\n"
        "assert not {'huggingface_hub', 'datasets', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
