"""A process that writes to a store, for tests of how it dies. Run by its path.

write_worker.py STORE hang ASSET     materialise ASSET for v0001 and stop half-way, printing `half-way`
write_worker.py STORE limit BYTES    write 1,000,000 bytes where files may have BYTES, print the error
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator

import polars as pl
from dagster import DagsterInstance, StaticPartitionsDefinition, asset, materialize
from polars.io.plugins import register_io_source

from automend_assets.errors import AutomendError
from automend_assets.storage.io_managers import JsonLinesIOManager, ParquetIOManager
from automend_assets.storage.resources import StoreResource
from automend_assets.storage.store import Store

ROWS = 200_000


def endless(*_pushed_down: object) -> Iterator[pl.DataFrame]:
    """Many row groups, and then nothing more."""
    for start in range(0, ROWS, 20_000):
        yield pl.DataFrame({"line": [f'{{"row":{row}}}' for row in range(start, start + 20_000)]})
    print("half-way", flush=True)
    time.sleep(600)


def hang(store: str, name: str) -> None:
    @asset(
        key=["glaive", name],
        io_manager_key="io",
        partitions_def=StaticPartitionsDefinition(["v0001"]),
    )
    def half_written() -> pl.LazyFrame:
        return register_io_source(endless, schema={"line": pl.String})

    manager = ParquetIOManager if name == "raw_sample" else JsonLinesIOManager
    with DagsterInstance.ephemeral() as instance:
        materialize(
            [half_written],
            partition_key="v0001",
            instance=instance,
            resources={"io": manager(store=StoreResource(url=store))},
        )


def limit(store: str, allowed: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, allowed))
    try:
        with Store(store).write("glaive", "v0001", "raw_sample.parquet") as file:
            file.write_bytes(b"x" * 1_000_000)
    except AutomendError as error:
        print(type(error).__name__, error)


if __name__ == "__main__":
    if sys.argv[2] == "hang":
        hang(sys.argv[1], sys.argv[3])
    else:
        limit(sys.argv[1], int(sys.argv[3]))
