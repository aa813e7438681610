"""The service as a process, over HTTP: answers, refusals, another model under load, and a database that is down."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from automend_assets.datasets.typos.artifact import ModelArtifact, write_artifact
from automend_assets.datasets.typos.encoder import character_model
from automend_assets.datasets.typos.texts import Entry
from automend_assets.versions.manifest import Manifest, SampleSource
from automend_assets.versions.promotions import Promotions
from automend_assets_tests.workplace import Workplace

KEY = "a-key"
NAMES = {
    "v0001": [Entry("Toyota", "brand"), Entry("Honda", "brand"), Entry("Hilux", "model")],
    "v0002": [Entry("Toyota", "brand"), Entry("Honda", "brand"), Entry("Perodua", "brand")],
}


class Service:
    """A running service and how to ask it."""

    def __init__(self, place: Workplace, *options: str) -> None:
        self.place = place
        self._process = place.start("automend", "serve", "--port", "0", *options)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for(lambda: any("http://" in line for line in self.lines))
        (line,) = [line for line in self.lines if "http://" in line]
        self.url = "http://" + line.split("http://")[1].strip()
        self._port = int(self.url.rsplit(":", 1)[1])

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.lines.append(line)

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, JSON (or text) and headers."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                status, text, found = answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            status, text, found = error.code, error.read().decode(), error.headers
        return status, json.loads(text) if text.startswith(("{", "[")) else text, found

    def first(self, text: str, domain: str = "brand") -> str:
        status, answer, _ = self.ask("/correct", {"text": text, "domain": domain, "k": 1})
        assert status == 200, answer
        return str(answer["candidates"][0]["text"])

    def listening(self) -> list[psutil.Process]:
        """The processes that take connections."""
        return [process for process, statuses in self._sockets().items() if statuses["LISTEN"]]

    def connections(self) -> dict[psutil.Process, int]:
        """How many connections each process has."""
        return {process: statuses["ESTABLISHED"] for process, statuses in self._sockets().items()}

    def _sockets(self) -> dict[psutil.Process, Counter[str]]:
        children = psutil.Process(self._process.pid).children()
        alive = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
        workers = [child for child in alive if "spawn_main" in " ".join(child.cmdline())]
        return {
            worker: Counter(
                one.status for one in worker.net_connections("tcp") if one.laddr.port == self._port
            )
            for worker in workers
        }

    def stop(self) -> str:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._reader.join(timeout=5)
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        return "".join(self.lines)


def wait_for(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def add_versions(place: Workplace) -> Promotions:
    for number, (version, entries) in enumerate(NAMES.items()):
        source = SampleSource(sha256="0" * 64, bytes=0)
        place.ledger.cut(Manifest(dataset="typos", source=source, rows=None, seed=number, shuffle_buffer=1))
        with place.store.write("typos", version, "finetuned_model.zip") as file:
            write_artifact(ModelArtifact(character_model(seed=1, buckets=4096), entries, {"pairs": 3}), file)
    return Promotions(place.environment["AUTOMEND_LEDGER"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two processes that serve v0001, with recording on."""
    place = Workplace(
        tmp_path_factory.mktemp("service"),
        "typos",
        AUTOMEND_API_KEY=KEY,
        AUTOMEND_INTERACTIONS_RATE="1000/minute",
        AUTOMEND_MODEL_POLL_SECONDS="0.2",
    )
    add_versions(place).promote("typos", "v0001", "test")
    service = Service(place, "--workers", "2")
    yield service
    service.stop()


def test_typos_are_corrected_within_their_domain(served: Service) -> None:
    status, answer, _ = served.ask("/correct", {"text": "tyota", "domain": "brand", "k": 2})
    assert status == 200
    assert answer["version"] == "v0001"
    assert [candidate["text"] for candidate in answer["candidates"]] == ["Toyota", "Honda"]
    scores = [candidate["score"] for candidate in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert {candidate["domain"] for candidate in answer["candidates"]} == {"brand"}
    assert served.first("hilax", "model") == "Hilux"
    assert served.ask("/correct", {"text": "  ", "domain": "brand"})[1]["candidates"] == []


def test_which_model_serves_and_how_it_is_told(served: Service) -> None:
    status, answer, _ = served.ask("/model")
    assert (status, answer["version"], answer["corrections"]) == (200, "v0001", 3)
    assert served.ask("/healthz")[:2] == (200, {"status": "ok", "version": "v0001", "error": None})
    for _ in range(10):
        served.first("hnda")
    text = served.ask("/metrics")[1]
    assert 'automend_requests_total{path="/correct",status="200"}' in text
    assert "automend_model_version 1.0" in text
    assert "hnda" not in text
    assert "/correct" in served.ask("/openapi.json")[1]["paths"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b'{"text": "x"}', 422),
        (b'{"text": "x", "domain": "colour"}', 422),
        (b'{"text": "x", "domain": "brand", "k": 0}', 422),
        (b'{"text": "x", "domain": "brand", "k": 1e9}', 422),
        (b'{"text": "x", "domain": "brand", "more": 1}', 422),
        (b'{"text": 5, "domain": "brand"}', 422),
        (json.dumps({"text": "x" * 201, "domain": "brand"}).encode(), 422),
        (b'{"text": "\xff", "domain": "brand"}', 422),
        (b" " * 5_000, 413),
        (json.dumps({"text": "\u202e\u0000\U0001f697", "domain": "brand"}).encode(), 200),
    ],
)
def test_what_is_no_question_is_refused(served: Service, body: bytes, status: int) -> None:
    assert served.ask("/correct", body)[0] == status


def test_corrections_are_recorded_with_the_key_only(served: Service) -> None:
    row = {"typo": "tyota", "corrected": "Toyota", "domain": "brand"}
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}):
        assert served.ask("/interactions", row, **headers)[0] == 401
    assert served.ask("/interactions", row, **{"X-API-Key": KEY})[0] == 201
    assert served.ask("/interactions", row, Authorization=f"Bearer {KEY}")[0] == 201
    for wrong in (
        {**row, "typo": ""},
        {**row, "typo": "Toyota"},
        {**row, "typo": "a\nb"},
        {**row, "typo": "x" * 101},
        {**row, "domain": "colour"},
        {**row, "corrected": "anna.miller@gmail.com"},
        {"typo": "x"},
    ):
        status, answer, _ = served.ask("/interactions", wrong, **{"X-API-Key": KEY})
        assert status == 422, answer
    with sqlite3.connect(served.place.environment["AUTOMEND_INTERACTIONS"]) as file:
        rows = file.execute("select typo, corrected, domain from typo_training_dataset").fetchall()
    assert rows == [("tyota", "Toyota", "brand")] * 2


def test_another_model_is_taken_without_losing_a_request(served: Service) -> None:
    promotions = Promotions(served.place.environment["AUTOMEND_LEDGER"])
    seen: list[tuple[int, Any]] = []
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            seen.append(served.ask("/correct", {"text": "perodu", "domain": "brand", "k": 1})[:2])

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        promotions.promote("typos", "v0002", "test")
        # Both processes: an answer comes from one of them.
        wait_for(lambda: len(seen) > 30 and all(answer["version"] == "v0002" for _, answer in seen[-20:]))
        promotions.rollback("typos", "test")
        wait_for(lambda: all(answer["version"] == "v0001" for _, answer in seen[-20:]))
    finally:
        stopped.set()
        for client in clients:
            client.join()
    assert {status for status, _ in seen} == {200}
    # Each answer is of one model: what v0001 does not know it never gives.
    for _, answer in seen:
        expected = "Perodua" if answer["version"] == "v0002" else answer["candidates"][0]["text"]
        assert answer["candidates"][0]["text"] == expected
        assert (answer["candidates"][0]["text"] == "Perodua") == (answer["version"] == "v0002")


def test_connections_are_spread_and_those_of_a_process_that_died_go_to_the_others(tmp_path: Path) -> None:
    place = Workplace(tmp_path, "typos")
    add_versions(place).promote("typos", "v0001", "test")
    service = Service(place, "--workers", "2")
    try:
        service.first("tyota")
        wait_for(lambda: len(service.listening()) == 2)
        host, port = service.url.removeprefix("http://").split(":")
        kept = [socket.create_connection((host, int(port))) for _ in range(64)]
        try:
            wait_for(lambda: sum(service.connections().values()) >= 64)
            # By chance alone, less than 12 of 64 come about once in ten million times.
            assert min(service.connections().values()) >= 12
        finally:
            for one in kept:
                one.close()
        died = service.listening()[0]
        died.kill()
        died.wait(timeout=30)
        # Its replacement does not take any yet.
        assert [service.first("tyota") for _ in range(16)] == ["Toyota"] * 16
        assert len(service.listening()) == 1
        wait_for(lambda: service.first("tyota") == "Toyota" and len(service.listening()) == 2)
        assert [service.first("tyota") for _ in range(64)] == ["Toyota"] * 64
    finally:
        service.stop()


def test_nothing_in_use_bad_models_and_dead_databases_are_told(tmp_path: Path) -> None:
    place = Workplace(
        tmp_path,
        "typos",
        AUTOMEND_API_KEY=KEY,
        AUTOMEND_INTERACTIONS_RATE="3/minute",
        AUTOMEND_MODEL_POLL_SECONDS="0.1",
        SUPABASE_DB_URL="postgresql://user:tops3cret@127.0.0.1:1/none",
    )
    promotions = add_versions(place)
    service = Service(place, "--workers", "1")
    try:
        for path, body in (("/correct", {"text": "x", "domain": "brand"}), ("/model", None)):
            status, answer, _ = service.ask(path, body)
            assert status == 503
            assert "automend cut typos" in answer["detail"]
        promotions.promote("typos", "v0001", "test")
        wait_for(lambda: service.ask("/model")[0] == 200)
        broken = Path(place.environment["AUTOMEND_STORE"]) / "typos" / "v0002" / "finetuned_model.zip"
        broken.write_bytes(b"no zip at all")
        promotions.promote("typos", "v0002", "test")
        wait_for(lambda: service.ask("/healthz")[1]["error"] is not None)
        assert "damaged or no zip" in service.ask("/healthz")[1]["error"]
        assert service.first("tyota") == "Toyota"
        assert "automend_model_failures_total 0" not in service.ask("/metrics")[1]

        row = {"typo": "tyota", "corrected": "Toyota", "domain": "brand"}
        status, answer, _ = service.ask("/interactions", row, **{"X-API-Key": KEY})
        assert status == 503
        assert "was not recorded" in answer["detail"]
        answers = [service.ask("/interactions", row, **{"X-API-Key": KEY}) for _ in range(4)]
        assert answers[-1][0] == 429
        assert int(answers[-1][2]["Retry-After"]) > 0
    finally:
        told = service.stop()
    assert "tops3cret" not in told
    assert "tyota" not in told


def test_without_a_key_nothing_is_recorded(tmp_path: Path) -> None:
    place = Workplace(tmp_path, "typos")
    service = Service(place, "--workers", "1")
    try:
        row = {"typo": "tyota", "corrected": "Toyota", "domain": "brand"}
        status, answer, _ = service.ask("/interactions", row, **{"X-API-Key": ""})
        assert status == 503
        assert "AUTOMEND_API_KEY" in answer["detail"]
    finally:
        service.stop()
    assert not Path(place.environment["AUTOMEND_INTERACTIONS"]).exists()


def test_a_port_that_is_taken_is_told(served: Service, tmp_path: Path) -> None:
    port = served.url.rsplit(":", 1)[1]
    told = Workplace(tmp_path).process("automend", "serve", "--port", port, timeout=60)
    assert told.code == 1
    assert "choose another --port" in told.err
