"""Where Glaive rows come from: the bundled sample, the Hub, a local file; and which of them a version takes.

What belongs here: naming a source once and for all when a version is cut (`resolve_source`), and reading a
version's rows from it through the seeded shuffle buffer into the raw frame (`read_source`). What does not:
finding the records in the bytes (`records.py`), what a chat means (`parse.py`).
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from automend_assets.connectors.hub import HubFile, HubResource
from automend_assets.connectors.sources import Origin, SampleCounts, pin_source
from automend_assets.datasets.glaive.records import MAX_ROW_BYTES, read_records
from automend_assets.pipeline.reading import OnProgress, RecordForm, read_sample
from automend_assets.pipeline.records import SourceNotReadable
from automend_assets.settings import project_root
from automend_assets.versions.manifest import Manifest, Source

if TYPE_CHECKING:
    import pyarrow as pa

UPSTREAM_REPO = "glaiveai/glaive-function-calling-v2"
_DATA_SUFFIXES = ((".parquet",), (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"), (".json", ".json.gz"))
_NOT_DATA = ("dataset_infos.json", "dataset_info.json", "config.json")
_ROW_GROUP_ROWS = 4_096


def sample_path() -> Path:
    """The bundled rows, which `sample.py` generated."""
    return project_root() / "data" / "samples" / "glaive" / "glaive-function-calling-v2.json.gz"


def resolve_source(
    kind: str,
    *,
    hub: HubResource,
    path: str | Path | None = None,
    repo: str | None = None,
    revision: str | None = None,
) -> Source:
    """Pin down a source for a manifest; see `connectors.sources.pin_source`."""
    return pin_source(kind, _origin(), hub=hub, path=path, repo=repo, revision=revision)


def read_source(
    manifest: Manifest,
    destination: Path,
    *,
    hub: HubResource,
    on_progress: OnProgress | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
) -> SampleCounts:
    """Write the raw frame of a version to the Parquet file `destination`, and count; see `pipeline.reading`.

    Columns: row_number Int64 (position in the source), system, chat, source_error, source_text (String, null
    allowed).
    """
    form = RecordForm(
        read=partial(read_records, max_row_bytes=max_row_bytes),
        schema=_raw_schema(),
        characters=lambda record: len(record.system or "") + len(record.chat or ""),
        refused=lambda record: record.error,
        row_group_rows=_ROW_GROUP_ROWS,
    )
    return read_sample(manifest, _origin(), form, destination, hub=hub, on_progress=on_progress)


def _origin() -> Origin:
    return Origin("glaive", UPSTREAM_REPO, sample_path(), _data_files)


def _data_files(hub: HubResource, repo: str, revision: str) -> list[HubFile]:
    """The files of a repository that hold rows: all of the first kind in `_DATA_SUFFIXES` that it has any
    of."""
    files = [file for file in hub.list_files(repo, revision) if Path(file.path).name not in _NOT_DATA]
    for suffixes in _DATA_SUFFIXES:
        if chosen := [file for file in files if file.path.endswith(suffixes)]:
            return chosen
    raise SourceNotReadable(
        f"{repo} has no data file at {revision}: expected one of {', '.join(chain(*_DATA_SUFFIXES))}, "
        f"found {', '.join(file.path for file in files[:10]) or 'nothing'}. Name another repository."
    )


def _raw_schema() -> pa.Schema:
    import pyarrow as pa

    texts = ("system", "chat", "source_error", "source_text")
    return pa.schema([("row_number", pa.int64()), *((name, pa.large_string()) for name in texts)])
