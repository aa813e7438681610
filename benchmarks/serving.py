"""How long `/correct` takes under load, beside looking up as the original's service does.

    python benchmarks/serving.py [--clients N] [--requests N] [--workers N] [--realdata FOLDER]

The service runs as a process of its own with all 7,399 real makes and models (names drawn at random where they are
not at hand) and the offline default model; clients keep their connections and each asks again as soon as it has its
answer, from another process: both share the machine. Every request is another typo. The baseline is the original's
look-up with the same model and names in the same run: `encode` of one text and the cosine with all, one request
after the other, without HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

# The libraries read these when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import uvloop

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"
SEED = 20261
NAMES = 7_400


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--baseline", type=int, default=500, help="look-ups of the baseline")
    parser.add_argument("--realdata", type=Path, default=REALDATA)
    arguments = parser.parse_args()

    from automend_assets.datasets.typos.noise import noisy_pairs

    names = candidates(arguments.realdata)
    pairs = noisy_pairs(names, 4, SEED, known=names)
    random.Random(SEED).shuffle(pairs)  # noqa: S311
    bodies = [
        json.dumps({"text": pair.typo, "domain": pair.domain, "k": 5}).encode()
        for pair in pairs[: arguments.requests]
    ]
    print(
        f"{len(names):,} candidates, {len(bodies):,} requests, {arguments.clients} clients, {os.cpu_count()} cores"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        promote(folder, names)
        seconds, wall, cpu = measured(folder, bodies, arguments.clients, arguments.workers)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    print(
        f"/correct, {arguments.workers} process(es): median {p50:.1f} ms, 99th percentile {p99:.1f} ms,"
        f" {len(seconds) / wall:,.0f} requests per second, {cpu / len(seconds) * 1e3:.2f} CPU ms each in the service"
    )
    alone = as_the_original(names, [(pair.typo, pair.domain) for pair in pairs[: arguments.baseline]])
    print(f"look-up of the original, without HTTP: {alone:,.0f} per second")
    print(f"ratio: {len(seconds) / wall / alone:.2f} requests per second vs the original's look-up")


def candidates(realdata: Path) -> list[tuple[str, str]]:
    from automend_assets.datasets.typos.texts import Entry, distinct_entries

    file = realdata / "typos" / "makes_models.csv"
    if file.exists():
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        makes = [Entry(row["make"], "brand") for row in rows]
        return distinct_entries([*makes, *(Entry(row["model"], "model") for row in rows)])
    rng = random.Random(SEED)  # noqa: S311
    letters = "abcdefghijklmnopqrstuvwxyz 0123456789"
    drawn = ("".join(rng.choices(letters, k=rng.randint(2, 14))) for _ in range(NAMES))
    return distinct_entries(Entry(text, "model") for text in drawn)


def promote(folder: Path, names: list[tuple[str, str]]) -> None:
    """A store and a ledger with one model in use that knows the names."""
    from automend_assets.datasets.typos.artifact import ModelArtifact, write_artifact
    from automend_assets.datasets.typos.encoder import character_model
    from automend_assets.storage.store import Store
    from automend_assets.versions.ledger import Ledger
    from automend_assets.versions.manifest import Manifest, SampleSource
    from automend_assets.versions.promotions import Promotions

    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    source = SampleSource(sha256="0" * 64, bytes=0)
    Ledger(url).cut(Manifest(dataset="typos", source=source, rows=None, seed=0, shuffle_buffer=1))
    with Store(str(folder / "store")).write("typos", "v0001", "finetuned_model.zip") as file:
        write_artifact(ModelArtifact(character_model(seed=42), list(names), {}), file)
    Promotions(url).promote("typos", "v0001", "benchmark")


def measured(
    folder: Path, bodies: list[bytes], clients: int, workers: int
) -> tuple[list[float], float, float]:
    """Seconds of each request, of all together by the clock, and CPU seconds of the service."""
    environment = {
        **os.environ,
        "AUTOMEND_STORE": str(folder / "store"),
        "AUTOMEND_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
    }
    automend = Path(sys.executable).parent / "automend"
    process = subprocess.Popen(
        [automend, "serve", "--port", "0", "--workers", str(workers)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        if process.stderr is None:
            raise RuntimeError("the service has no standard error")
        address = process.stderr.readline().split("http://")[1].strip()
        host, port = address.split(":")
        uvloop.run(load(host, int(port), bodies[:200], clients))  # warm, and the model loaded
        started, cpu_before = time.perf_counter(), cpu_of(process.pid)
        seconds = uvloop.run(load(host, int(port), bodies, clients))
        wall, cpu = time.perf_counter() - started, cpu_of(process.pid) - cpu_before
    finally:
        process.terminate()
        process.wait()
    return seconds, wall, cpu


def cpu_of(leader: int) -> float:
    """CPU seconds of a process and its descendants."""
    import psutil

    every = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in every)


async def load(host: str, port: int, bodies: list[bytes], clients: int) -> list[float]:
    """The time of each request; clients take the next body as soon as they have their answer."""
    todo = iter(bodies)
    seconds: list[float] = []
    loop = asyncio.get_running_loop()
    ended = [loop.create_future() for _ in range(clients)]
    for one in ended:
        await loop.create_connection(lambda end=one: Client(todo, seconds, end), host, port)
    await asyncio.gather(*ended)
    return seconds


class Client(asyncio.Protocol):
    """One connection that always has one request on its way; lean, since it shares the cores with the service."""

    def __init__(self, todo: Iterator[bytes], seconds: list[float], ended: asyncio.Future[None]) -> None:
        self._todo, self._seconds, self._ended = todo, seconds, ended
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._seconds.append(time.perf_counter() - self._started)
        if not head.startswith(b"HTTP/1.1 200"):
            self._ended.set_exception(RuntimeError(self._answer.decode()))
        self._answer = b""
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(error or ConnectionError("the service hung up"))

    def _ask(self) -> None:
        body = next(self._todo, None)
        if body is None:
            if not self._ended.done():
                self._ended.set_result(None)
            self._transport.close()
            return
        self._started = time.perf_counter()
        self._transport.write(
            b"POST /correct HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


def as_the_original(names: list[tuple[str, str]], queries: list[tuple[str, str]]) -> float:
    """Look-ups per second: encode one text, cosine with every name, the five best."""
    import torch
    from sentence_transformers.util import cos_sim

    from automend_assets.datasets.typos.encoder import character_model
    from automend_assets.datasets.typos.texts import prompted

    torch.set_num_threads(1)
    model = character_model(seed=42)
    known = model.encode([prompted(*name) for name in names], convert_to_tensor=True, show_progress_bar=False)
    started = time.perf_counter()
    for text, domain in queries:
        vector = model.encode(prompted(text, domain), convert_to_tensor=True, show_progress_bar=False)
        torch.topk(cos_sim(vector, known)[0], 5)
    return len(queries) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
