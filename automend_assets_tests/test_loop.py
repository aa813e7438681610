"""The whole loop with real parts: corrections posted over HTTP come back as answers of a newly trained model.

Postgres and PostgREST behind Supabase's gateway, Dagster with its daemon and the sensor on, the Hub's protocol, MLflow
and the service, each a process or server of its own; nobody touches anything in between.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, snapshot_download
from mlflow import MlflowClient

from automend_assets.datasets.typos.encoder import load_model
from automend_assets.datasets.typos.noise import noisy_pairs
from automend_assets.datasets.typos.sample import entries
from automend_assets.datasets.typos.texts import Entry, Pair
from automend_assets_tests.servers.dagster_ui import dagster_ui
from automend_assets_tests.servers.gateway import SupabaseGateway
from automend_assets_tests.servers.hub import LoopbackHub
from automend_assets_tests.servers.mlflow import mlflow_server
from automend_assets_tests.servers.postgres import PostgresServer
from automend_assets_tests.servers.postgrest import postgrest_server
from automend_assets_tests.workplace import PROJECT, Workplace

DDL = (PROJECT / "deploy" / "supabase" / "typo_training_dataset.sql").read_text()
REPO = "alice/typo-embeddings"
KEY = "a-key-of-the-application"
ROWS = 300

NAMES = entries()
EARLY, LATE = NAMES[::4], NAMES[1::4]


def typos_of(names: list[Entry], each: int) -> list[Pair]:
    return noisy_pairs(names, each, seed=5, known=NAMES)[:ROWS]


class Service:
    """The service as an application uses it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer, whatever the status."""
        request = urllib.request.Request(  # noqa: S310
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-API-Key": KEY},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def correct(self, pair: Pair) -> tuple[int, Any]:
        return self.ask("/correct", {"text": pair.typo, "domain": pair.domain, "k": 3})

    def version(self) -> str | None:
        status, answer = self.ask("/model")
        return answer["version"] if status == 200 else None

    def record(self, pairs: list[Pair]) -> None:
        for pair in pairs:
            status, answer = self.ask("/interactions", pair._asdict())
            assert status == 201, answer


@contextmanager
def service(workplace: Workplace, log: Path) -> Iterator[Service]:
    """`automend serve` as a process on a free port."""
    process = workplace.start("automend", "serve", "--port", "0", "--workers", "1")
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        wait_for(lambda: any("http://127.0.0.1:" in line for line in lines), 60, lambda: "".join(lines))
        (line,) = [line for line in lines if "http://127.0.0.1:" in line][:1]
        yield Service("http://127.0.0.1:" + line.split("http://127.0.0.1:")[1].split()[0].rstrip("/.,"))
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.write_text("".join(lines))


def wait_for(done: Callable[[], bool], seconds: float, state: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, state()
        time.sleep(0.25)


class Asking(threading.Thread):
    """A client that asks all the time and keeps every answer that is no success."""

    def __init__(self, served: Service, pair: Pair) -> None:
        super().__init__(daemon=True)
        self.served, self.pair = served, pair
        self.answers = 0
        self.failures: list[tuple[int, Any]] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.02):
            status, answer = self.served.correct(self.pair)
            self.answers += 1
            if status != 200:
                self.failures.append((status, answer))

    def stop(self) -> None:
        self.stopped.set()
        self.join()


@pytest.mark.timeout(600)
def test_a_correction_comes_back_as_an_answer(postgres: PostgresServer, tmp_path: Path) -> None:
    with (
        postgrest_server(postgres.new_database()) as postgrest,
        SupabaseGateway(postgrest) as gateway,
        LoopbackHub() as hub,
        mlflow_server(tmp_path) as mlflow,
    ):
        postgrest.execute(DDL)
        workplace = Workplace(
            tmp_path,
            "typos",
            **gateway.environment(),
            **hub.environment(tmp_path / "hf", token="hf_rw"),
            AUTOMEND_HUB_MODEL_REPO=REPO,
            MLFLOW_TRACKING_URI=mlflow,
            AUTOMEND_SETTLE_SECONDS="1",
            AUTOMEND_CUT_MIN_ROWS=str(ROWS),
            AUTOMEND_CUT_INTERVAL_SECONDS="1",
            AUTOMEND_API_KEY=KEY,
            AUTOMEND_INTERACTIONS_RATE="1000000/minute",
        )
        assert workplace.automend("home").code == 0
        started = workplace.process(
            "dagster", "sensor", "start", "typos_interactions", "-w", "workspace.yaml", cwd=PROJECT
        )
        assert started.code == 0, started.err
        log = tmp_path / "dagster.log"
        with (
            dagster_ui({**os.environ, **workplace.environment}, log),
            service(workplace, tmp_path / "service.log") as served,
        ):

            def serves(version: str) -> bool:
                return served.version() == version

            early, late = typos_of(EARLY, 6), typos_of(LATE, 6)
            status, answer = served.correct(early[0])
            assert status == 503, answer

            served.record(early)
            wait_for(lambda: serves("v0001"), 240, log.read_text)
            assert answered(served, early) >= 0.95
            # Nobody has corrected anything to these names yet.
            assert answered(served, late) < 0.2

            asking = Asking(served, early[0])
            asking.start()
            served.record(late)
            wait_for(lambda: serves("v0002"), 240, log.read_text)
            asking.stop()
            assert asking.failures == []
            assert asking.answers > 50
            assert answered(served, late) >= 0.95
            assert answered(served, early) >= 0.95

            api = HfApi(endpoint=hub.url, token="hf_rw")
            wait_for(
                lambda: {tag.name for tag in api.list_repo_refs(REPO).tags} >= {"v0001", "v0002"},
                120,
                log.read_text,
            )
            champion = MlflowClient(mlflow).get_model_version_by_alias("automend-typos", "champion")
            assert champion.tags["automend.version"] == "v0002"
            loaded = snapshot_download(
                REPO, revision="v0002", endpoint=hub.url, token="hf_rw", local_dir=tmp_path / "published"
            )
            assert load_model(Path(loaded)).encode(["car brand: toyota"]).shape == (1, 256)
    rows = [workplace.frame(version, "interactions.parquet") for version in ("v0001", "v0002")]
    columns = ["typo", "corrected", "domain"]
    kept = sorted(row for frame in rows for row in frame.select(columns).rows())
    assert kept == sorted(tuple(pair) for pair in (*early, *late))


def answered(served: Service, pairs: list[Pair]) -> float:
    """How often the first candidate is right."""
    first = [served.correct(pair)[1]["candidates"][:1] for pair in pairs]
    right = [
        bool(found) and found[0]["text"] == pair.corrected for found, pair in zip(first, pairs, strict=True)
    ]
    return sum(right) / len(right)
