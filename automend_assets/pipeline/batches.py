"""Row-level work over batches of a frame, in this process or in several, with the same result either way.

Here: cutting a frame into batches, handing them to processes and taking the results back in order. Not here: what is
done with a batch (each dataset's own modules). No Dagster, which worker processes must not import.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl

Transform = Callable[[pl.DataFrame], tuple[pl.DataFrame, ...]]


def map_batches(
    frame: pl.LazyFrame,
    transform: Transform,
    *,
    batch_rows: int,
    workers: int | None = None,
    preload: str,
) -> Iterator[tuple[pl.DataFrame, ...]]:
    """Yield what `transform` makes of every `batch_rows` rows of `frame`, in order.

    `workers` is the number of processes: one per core when None, none but this one for 1. Of a small frame fewer are
    used, one per four batches: a process has cost a second before its first row.
    Memory holds as many batches as there are processes, and one. `transform` must be picklable; `preload` is the
    module that processes import before they fork.
    """
    batches = frame.collect_batches(chunk_size=batch_rows, maintain_order=True)
    workers = min(workers or os.cpu_count() or 1, max(1, _count(frame) // (4 * batch_rows)))
    if workers == 1:
        yield from map(transform, batches)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([preload])
    with (
        tempfile.TemporaryDirectory(prefix="automend-batches-") as folder,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        waiting: deque[Future[list[Path]]] = deque()
        for number, batch in enumerate(batches):
            path = Path(folder) / f"{number}.in"
            batch.write_ipc(path)
            waiting.append(pool.submit(_transform_file, transform, path))
            if len(waiting) > workers:
                yield _taken(waiting.popleft().result())
        while waiting:
            yield _taken(waiting.popleft().result())


def _transform_file(transform: Transform, path: Path) -> list[Path]:
    results = transform(pl.read_ipc(path))
    path.unlink()
    done = [path.with_suffix(f".{number}") for number in range(len(results))]
    for file, result in zip(done, results, strict=True):
        result.write_ipc(file)
    return done


def _taken(files: list[Path]) -> tuple[pl.DataFrame, ...]:
    frames = tuple(pl.read_ipc(file) for file in files)
    for file in files:
        file.unlink()
    return frames


def _count(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())
