"""From raw rows to manifests: filtered, read, redacted, described, each once; and of those, no two alike.

Here: the order of the steps, the columns they make, the fan-out over processes, what goes to quarantine. Not here:
each step (`filters.py`, `documents.py`, `redaction.py`, `resources.py`, `kubernetes.py`, `prompts.py`, `chatml.py`),
Dagster (`assets.py`).

Every row of the raw frame is a row of `manifests` or of the quarantine, with a code: of `records.ERROR_CODES`,
`filters.py`, `documents.CODES`, `redaction.CODES`, or `duplicate_exact`, `duplicate_normalised`, `duplicate_near`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from automend_assets.datasets.iac import documents, filters, records, redaction
from automend_assets.datasets.iac.chatml import RECORD_CHECKS, messages, validate
from automend_assets.datasets.iac.documents import Limits, Parsed, YamlRefused, check, parse
from automend_assets.datasets.iac.kubernetes import check_resources
from automend_assets.datasets.iac.options import IacOptions
from automend_assets.datasets.iac.prompts import Prompt, prompt_for
from automend_assets.datasets.iac.redaction import Redacted, Redactor
from automend_assets.datasets.iac.resources import facts_of, resources_of
from automend_assets.pipeline.batches import map_batches
from automend_assets.storage.quarantine import QUARANTINE_SCHEMA

STAGE = "manifests"
BATCH_ROWS = 2_048
"""Rows that one process takes at a time: some 20 MB."""

_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_number": pl.Int64,
    "hexsha": pl.String,
    "repo": pl.String,
    "path": pl.String,
    "size": pl.Int64,
    "licenses": pl.List(pl.String),
    "licence": pl.String,
    "content": pl.String,
    "num_documents": pl.Int64,
    "num_resources": pl.Int64,
    "kinds": pl.String,
    "api_versions": pl.String,
    "names": pl.String,
    "namespaces": pl.String,
    "images": pl.String,
    "gpus": pl.Int64,
    "iac_type": pl.String,
    "keywords": pl.List(pl.String),
    "prompt_type": pl.String,
    "prompt": pl.String,
    "messages": pl.String,
    "repairs": pl.String,
    "num_duplicate_keys": pl.Int64,
    "redactions": pl.String,
    "num_redactions": pl.Int64,
    "num_findings": pl.Int64,
    "kubernetes_check": pl.String,
    "num_known_resources": pl.Int64,
    "num_unknown_resources": pl.Int64,
    "kubernetes_errors": pl.String,
    **dict.fromkeys(RECORD_CHECKS, pl.Boolean),
}
MANIFESTS_SCHEMA = pl.Schema(_COLUMNS)
"""Columns of `manifests`; what they mean is in the contract. Lists and objects are JSON text but for two."""

REASONS = (
    *records.ERROR_CODES,
    "empty",
    "size_out_of_range",
    "low_alphanumeric",
    "extension",
    "not_kubernetes",
    "helm_template",
    *documents.CODES,
    "not_a_resource",
    "licence_not_permissive",
    "no_ml_infrastructure",
    *redaction.CODES,
    "duplicate_exact",
    "duplicate_normalised",
    "duplicate_near",
)
"""Every code of the quarantine, in the order in which rows are refused."""

_CANDIDATE_COLUMNS = (
    "row_number",
    "hexsha",
    "repo",
    "path",
    "licenses",
    "content",
    "has_mark",
    "has_returns",
)
_PRELOAD = "automend_assets.datasets.iac.preload"
_GENERIC_PROMPT = "Apply the Kubernetes manifest."


@dataclass(frozen=True)
class ProcessCounts:
    """What became of the rows: `rows_in = manifests + sum(quarantined.values())`."""

    rows_in: int
    manifests: int
    quarantined: dict[str, int]


def process(
    raw: pl.LazyFrame,
    manifests: Path,
    quarantine: Path,
    *,
    options: IacOptions,
    seed: int,
    workers: int | None = None,
    batch_rows: int = BATCH_ROWS,
    on_progress: Callable[[int], None] | None = None,
) -> ProcessCounts:
    """Make every row of `raw` a row of one of two Parquet files; memory does not grow with the rows.

    `seed` chooses the prompts. The files are the same, byte for byte, whatever the number of `workers` (processes;
    one per core when None) and `batch_rows`. `on_progress` is told the rows done so far.
    """
    staged, refused = manifests.with_suffix(".staged"), quarantine.with_suffix(".staged")
    rows_in = 0
    transform = partial(prepare_batch, options=options, seed=seed)
    with _writer(staged, MANIFESTS_SCHEMA) as good, _writer(refused, QUARANTINE_SCHEMA) as bad:
        for kept, dropped in map_batches(
            raw, transform, batch_rows=batch_rows, workers=workers, preload=_PRELOAD
        ):
            rows_in += len(kept) + len(dropped)
            if len(kept):
                good.write_table(kept.to_arrow())
            if len(dropped):
                bad.write_table(dropped.to_arrow())
            if on_progress is not None:
                on_progress(rows_in)
    # Not above: the code location imports this module, and does not need pyarrow.
    from automend_assets.dedup.deduplicate import deduplicate

    unique = deduplicate(
        pl.scan_parquet(staged),
        "content",
        key="row_number",
        order=("repo", "path", "hexsha"),
        language="yaml",
        threshold=options.near_duplicate,
    )
    repeats = unique.removed.select(
        pl.col("removed").cast(pl.Int64).alias("row_number"),
        pl.lit(STAGE).alias("stage"),
        pl.concat_str(pl.lit("duplicate_"), pl.col("level")).alias("reason"),
        pl.format("{} similar to row {}, which is kept", pl.col("similarity").round(4), "kept").alias(
            "detail"
        ),
        pl.lit(None, pl.String).alias("text"),
    )
    _sink(unique.kept, manifests)
    _sink(pl.concat([pl.scan_parquet(refused), repeats.lazy()]), quarantine)
    counted = pl.scan_parquet(quarantine).group_by("reason").len().sort("reason").collect()
    staged.unlink()
    refused.unlink()
    quarantined = dict(counted.iter_rows())
    return ProcessCounts(rows_in, rows_in - sum(quarantined.values()), quarantined)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: parsed documents have none, and looking for some in them costs a third more."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def prepare_batch(raw: pl.DataFrame, *, options: IacOptions, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Manifests and quarantined rows of a raw batch, each in its order; duplicates among them are still there."""
    content = pl.col("content")
    first = raw.select("row_number", reason=pl.coalesce("source_error", filters.by_form(options)))
    formed = (
        raw.filter(first["reason"].is_null())
        .with_columns(
            has_mark=content.str.starts_with("\ufeff"),
            has_returns=content.str.contains("\r", literal=True),
            content=content.str.strip_prefix("\ufeff"),
        )
        .with_columns(
            content=pl.when("has_returns").then(content.str.replace_all("\r\n?", "\n")).otherwise(content)
        )
    )
    second = formed.select("row_number", reason=filters.by_fields(options))
    candidates = formed.filter(second["reason"].is_null()).with_columns(after=filters.after_parsing(options))
    outcomes = [
        _read(text, after, options.limits)
        for text, after in candidates.select("content", "after").iter_rows()
    ]
    readings = [outcome.parsed for outcome in outcomes if outcome.parsed is not None]
    chosen = candidates.filter(pl.Series([o.parsed is not None for o in outcomes], dtype=pl.Boolean))
    redactor = Redactor(options.limits)
    redacted = redactor.redact(chosen["content"].to_list(), readings)
    refused = pl.concat(
        [
            *(
                step.filter(pl.col("reason").is_not_null()).with_columns(detail=pl.lit(None, pl.String))
                for step in (first, second)
            ),
            _refused(candidates, outcomes),
            _refused(chosen, [_Outcome(result.refused, None) for result in redacted]),
        ]
    )
    dropped = (
        raw.select("row_number", "repo", "path")
        .join(refused, on="row_number", how="inner", maintain_order="left")
        .select(
            "row_number",
            pl.lit(STAGE).alias("stage"),
            "reason",
            # Where it is from in place of its text, which may hold secrets.
            pl.concat_str("repo", "path", "detail", separator=" ", ignore_nulls=True).alias("detail"),
            pl.lit(None, pl.String).alias("text"),
        )
    )
    return _manifests(chosen, redacted, redactor, options, seed), dropped


@dataclass(frozen=True)
class _Outcome:
    """What became of a candidate: a code and words when it is refused, its reading when it goes on."""

    code: str | None
    detail: str | None
    parsed: Parsed | None = None


def _read(text: str, after: str | None, limits: Limits) -> _Outcome:
    """Read a text; `after` is the code of what refuses it once it has shown to be YAML."""
    try:
        if after is not None:
            check(text, limits)
            return _Outcome(after, None)
        parsed = parse(text, limits, places=False)
    except YamlRefused as refused:
        is_template = refused.code in ("invalid_yaml", "complex_key") and filters.has_bare_braces(text)
        return _Outcome("helm_template" if is_template else refused.code, refused.detail)
    if resources_of(parsed.documents) is None:
        return _Outcome(
            "not_a_resource", f"one of {len(parsed.documents)} documents has no apiVersion and kind"
        )
    return _Outcome(None, None, parsed)


def _refused(files: pl.DataFrame, outcomes: list[_Outcome]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row_number": files["row_number"],
            "reason": pl.Series([outcome.code for outcome in outcomes], dtype=pl.String),
            "detail": pl.Series([outcome.detail for outcome in outcomes], dtype=pl.String),
        }
    ).filter(pl.col("reason").is_not_null())


def _manifests(
    chosen: pl.DataFrame, redacted: list[Redacted], redactor: Redactor, options: IacOptions, seed: int
) -> pl.DataFrame:
    usable = chosen.filter(pl.Series([result.refused is None for result in redacted], dtype=pl.Boolean))
    results = [result for result in redacted if result.refused is None]
    rows = usable.select("path", "hexsha", "has_mark", "has_returns").iter_rows()
    described = [
        _describe(result, path or "", hexsha, has_mark, has_returns, seed)
        for result, (path, hexsha, has_mark, has_returns) in zip(results, rows, strict=True)
    ]
    columns = pl.DataFrame(described, schema=_DESCRIBED, orient="row")
    frame = usable.select("row_number", "hexsha", "repo", "path", "licenses").hstack(columns)
    found = redactor.count_findings(frame["prompt"])
    frame = frame.with_columns(
        prompt=pl.when(found > 0).then(pl.lit(_GENERIC_PROMPT)).otherwise("prompt"),
        size=pl.col("content").str.len_bytes().cast(pl.Int64),
        licence=pl.col("licenses").list.sort().list.join(" AND "),
        keywords=filters.found_keywords(options),
    ).with_columns(messages=messages())
    return (
        frame.hstack(validate(frame, options.limits))
        .select(MANIFESTS_SCHEMA.names())
        .match_to_schema(MANIFESTS_SCHEMA, integer_cast="upcast")
    )


_DESCRIBED = {
    "content": pl.String,
    "num_documents": pl.Int64,
    "num_resources": pl.Int64,
    "kinds": pl.String,
    "api_versions": pl.String,
    "names": pl.String,
    "namespaces": pl.String,
    "images": pl.String,
    "gpus": pl.Int64,
    "iac_type": pl.String,
    "prompt_type": pl.String,
    "prompt": pl.String,
    "repairs": pl.String,
    "num_duplicate_keys": pl.Int64,
    "redactions": pl.String,
    "num_redactions": pl.Int64,
    "num_findings": pl.Int64,
    "kubernetes_check": pl.String,
    "num_known_resources": pl.Int64,
    "num_unknown_resources": pl.Int64,
    "kubernetes_errors": pl.String,
}


def _describe(
    result: Redacted, path: str, hexsha: str, has_mark: bool, has_returns: bool, seed: int
) -> tuple[Any, ...]:
    read = result.parsed.documents
    resources = resources_of(read) or []
    facts = facts_of(resources)
    prompt: Prompt = prompt_for(path, facts, key=hexsha, seed=seed)
    verdict = check_resources(resources)
    repairs = ["byte_order_mark"] * has_mark + ["line_ends"] * has_returns
    return (
        result.text,
        sum(document is not None for document in read),
        len(resources),
        _json(facts.kinds),
        _json(facts.api_versions),
        _json(facts.names),
        _json(facts.namespaces),
        _json(facts.images),
        facts.gpus,
        facts.iac_type,
        prompt.type,
        prompt.text,
        _json(repairs),
        result.parsed.duplicate_keys,
        _json(dict(sorted(result.rules.items()))),
        result.rules.total(),
        result.left,
        verdict.result,
        verdict.known,
        verdict.unknown,
        _json([error._asdict() for error in verdict.errors]),
    )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _writer(path: Path, schema: pl.Schema) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        path, pl.DataFrame(schema=schema).to_arrow().schema, compression="zstd", compression_level=1
    )


def _sink(frame: pl.LazyFrame, path: Path) -> None:
    frame.sink_parquet(
        path, compression="zstd", compression_level=1, row_group_size=8_192, maintain_order=True
    )
