"""Where manifests come from: the bundled sample, the Hub, a local file; and which of them a version takes.

What belongs here: naming a source once and for all when a version is cut (`resolve_source`), and reading a version's
rows from it through the seeded shuffle buffer into the raw frame (`read_source`). What does not: finding the records
in the bytes (`records.py`), which of them are kept (`process.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from automend_assets.connectors.hub import HubFile, HubResource
from automend_assets.connectors.sources import Origin, SampleCounts, pin_source
from automend_assets.datasets.iac.records import MAX_ROW_BYTES, SOURCE_TEXT_CHARS, Record, read_records
from automend_assets.pipeline.reading import OnProgress, RecordForm, read_sample
from automend_assets.pipeline.records import SourceNotReadable
from automend_assets.settings import project_root
from automend_assets.versions.manifest import Manifest, Source

if TYPE_CHECKING:
    import pyarrow as pa

UPSTREAM_REPO = "bigcode/the-stack-dedup"
_SHARDS = "data/yaml/"
_ROW_GROUP_ROWS = 2_048


def sample_path() -> Path:
    """The bundled rows, which `sample.py` generated."""
    return project_root() / "data" / "samples" / "iac" / "data-00000-of-00001.parquet"


def resolve_source(
    kind: str,
    *,
    hub: HubResource,
    path: str | Path | None = None,
    repo: str | None = None,
    revision: str | None = None,
) -> Source:
    """Pin down a source for a manifest; see `connectors.sources.pin_source`."""
    return pin_source(kind, _origin(seed=0), hub=hub, path=path, repo=repo, revision=revision)


def read_source(
    manifest: Manifest,
    destination: Path,
    *,
    hub: HubResource,
    on_progress: OnProgress | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
) -> SampleCounts:
    """Write the raw frame of a version to the Parquet file `destination`, and count; see `pipeline.reading`.

    Columns: row_number Int64 (how many rows were read before it), hexsha, ext, repo, path String, licenses
    List(String), alphanum_fraction Float64, content, source_error, source_text String. The shards of a repository are
    read in an order that the seed decides, row group by row group, only the columns that are used. A hexsha that was
    taken before is noted as an error, without its content; memory holds the hashes of what was taken, too.
    """
    form = RecordForm(
        read=partial(read_records, max_row_bytes=max_row_bytes),
        schema=_raw_schema(),
        characters=lambda record: len(record.content or ""),
        refused=lambda record: record.error,
        row_group_rows=_ROW_GROUP_ROWS,
    )
    return read_sample(
        manifest,
        _origin(manifest.seed),
        form,
        destination,
        hub=hub,
        on_progress=on_progress,
        mark=_marked_duplicates,
    )


def _origin(seed: int) -> Origin:
    def shards(hub: HubResource, repo: str, revision: str) -> list[HubFile]:
        files = [file for file in hub.list_files(repo, revision) if file.path.endswith(".parquet")]
        # Another repository in the same layout may hold nothing but YAML.
        chosen = [file for file in files if file.path.startswith(_SHARDS)] or files
        if not chosen:
            raise SourceNotReadable(
                f"{repo} has no Parquet file at {revision}: expected {_SHARDS}*.parquet. Name another repository."
            )
        # sorted by a draw and not `shuffle`, whose algorithm Python does not promise to keep
        draw = random.Random(seed).random  # noqa: S311
        return [file for _, _, file in sorted((draw(), file.path, file) for file in chosen)]

    return Origin("iac", UPSTREAM_REPO, sample_path(), shards)


def _marked_duplicates(rows: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    seen: set[str] = set()
    for number, record in rows:
        if record.hexsha is None or record.hexsha not in seen:
            if record.hexsha is not None:
                seen.add(record.hexsha)
            yield number, record
            continue
        shown = record.text if record.content is None else record.content[:SOURCE_TEXT_CHARS]
        yield number, record._replace(content=None, error="duplicate_hexsha", text=shown)


def _raw_schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.large_string()
    return pa.schema(
        [
            ("row_number", pa.int64()),
            ("hexsha", text),
            ("ext", text),
            ("repo", text),
            ("path", text),
            ("licenses", pa.large_list(text)),
            ("alphanum_fraction", pa.float64()),
            ("content", text),
            ("source_error", text),
            ("source_text", text),
        ]
    )
