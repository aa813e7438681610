"""Recording against a real MLflow server, read back with MLflow's own client."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from automend_assets.connectors.mlflow_tracking import (
    MlflowMissing,
    MlflowRefused,
    MlflowResource,
    MlflowUnavailable,
)
from automend_assets_tests.servers.mlflow import mlflow_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return server


def test_a_version_is_one_run_with_what_it_was_given(url: str, tmp_path: Path) -> None:
    mlflow = MlflowResource()
    params = {"seed": 42, "matryoshka": [], "learning_rate": None}
    figures = {"unseen.new_serving.recall_at_1": 0.95, "loss": 0.25}
    run = mlflow.log_run("typos", "v0001", params=params, metrics=figures, artifacts={"a.json": b"{}"})
    assert run is not None
    again = mlflow.log_run(
        "typos", "v0001", params=params, metrics={**figures, "later": 1.0}, artifacts={"plot.png": b"png"}
    )
    assert again == run
    other = mlflow.log_run("typos", "v0002", metrics={"loss": 0.2})
    assert other != run

    client = MlflowClient(url)
    found = client.get_run(run)
    assert found.data.params == {"seed": "42", "matryoshka": "[]", "learning_rate": "None"}
    assert found.data.metrics == {**figures, "later": 1.0}
    assert found.data.tags["automend.version"] == "v0001"
    assert len(client.get_metric_history(run, "loss")) == 1
    assert {file.path for file in client.list_artifacts(run)} == {"a.json", "plot.png"}
    experiment = client.get_experiment_by_name("automend-typos")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_the_model_in_use_has_the_alias(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow, client = MlflowResource(), MlflowClient(url)
    registered = {}
    for version in ("v0001", "v0002"):
        file = tmp_path / version / "finetuned_model.zip"
        file.parent.mkdir()
        file.write_bytes(version.encode())
        registered[version] = mlflow.promote("promoted", version, model=file)
        assert mlflow.promote("promoted", version, model=file) == registered[version]
        found = client.get_model_version_by_alias("automend-promoted", "champion")
        assert found.version == registered[version]
        assert found.tags["automend.version"] == version
        loaded = download_artifacts(
            artifact_uri=found.source, dst_path=str(tmp_path / "read"), tracking_uri=url
        )
        assert (Path(loaded) / "finetuned_model.zip").read_bytes() == version.encode()
    assert len(client.search_model_versions("name = 'automend-promoted'")) == 2


def test_without_a_server_nothing_happens(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from automend_assets.connectors.mlflow_tracking import MlflowResource\n"
        "assert MlflowResource().log_run('typos', 'v0001', params={'a': 1}) is None\n"
        "assert MlflowResource().promote('typos', 'v0001', model=None) is None\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"MLFLOW_TRACKING_URI": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_dead_server_can_pass(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:tops3cret@127.0.0.1:1")
    with pytest.raises(MlflowUnavailable, match=r"127\.0\.0\.1.*MLFLOW_TRACKING_URI") as raised:
        MlflowResource().log_run("typos", "v0001", metrics={"loss": 1.0})
    assert "tops3cret" not in str(raised.value) + caplog.text


@pytest.mark.parametrize(("status", "error"), [(401, MlflowRefused), (503, MlflowUnavailable)])
def test_answers_that_are_no_success_are_told(
    monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    refusing = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=refusing.serve_forever, daemon=True)
    thread.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:tops3cret@127.0.0.1:{refusing.server_port}")
        with pytest.raises(error) as raised:
            MlflowResource().log_run("typos", "v0001", metrics={"loss": 1.0})
        assert "tops3cret" not in str(raised.value)
    finally:
        refusing.shutdown()
        refusing.server_close()


def test_a_missing_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MlflowMissing, match=r"automend-assets\[mlflow\]"):
        MlflowResource().log_run("typos", "v0001")
