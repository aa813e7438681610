"""A real MLflow server on loopback, with its own files, in an environment of its own because of its dependencies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PYTHON = PROJECT / ".venv-mlflow" / "bin" / "python"
START_SECONDS = 90


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Start the server with what it keeps in `folder`; yield its address; stop it at the end."""
    if not PYTHON.exists():
        raise RuntimeError(f"The MLflow test server is not set up: {PYTHON} is missing. Run: make test")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [PYTHON, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    kept = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.sqlite'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    log = folder / "mlflow.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *kept],
            cwd=folder,
            env={
                **os.environ,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"MLflow does not answer: {log.read_text()[-2000:]}")
