"""What a release says about itself: its artifacts, its manifest, its metrics and its dataset card.

Here: pure functions from a store, a version and its reports to plain values and text. Not here: DVC
(`pins.py`), how reports are made (`contracts/`), what only one dataset can say (`datasets/<name>/card.py`, a
`CardText`).

Nothing depends on the clock or the machine: the same version and code give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as installed_version
from io import BufferedReader, RawIOBase
from pathlib import PurePath
from typing import Any, cast

import orjson
import polars as pl

from automend_assets.contracts.contract import Contract
from automend_assets.errors import PermanentError
from automend_assets.storage.store import Store
from automend_assets.versions.manifest import Manifest

CARD_FILE = "README.md"
"""The name under which the Hub, and `datasets.load_dataset` on a folder, look for a card."""

_READ_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 23
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_JSON_TYPES |= {list: "array", dict: "object"}
# https://huggingface.co/docs/hub/datasets-cards: the names that the Hub's filter knows.
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)


class ArtifactDamaged(PermanentError):
    """An artifact that is not what its name says, such as JSON lines with a line that is no JSON object."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a release.

    `name` is the file without its suffix (the asset), `sha256` and `bytes` are of the file. `rows` and
    `schema` (column to polars dtype, or to the JSON types that occur) are those of Parquet and JSON lines,
    else None.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    rows: int | None
    schema: Mapping[str, str] | None

    def as_json(self) -> dict[str, Any]:
        """The artifact as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reports:
    """What was found out about a version, as plain JSON values.

    `quarantined` is rows by stage and reason (`storage.quarantine.count_by_reason`), `checks` an
    `Evaluation.as_json()`, `bias` a `contracts.bias.bias_report()`, `measures` what only this dataset measures, flat.
    """

    quarantined: Mapping[str, Mapping[str, int]]
    checks: Mapping[str, Any]
    bias: Mapping[str, Any]
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CardConfig:
    """One way to load the dataset: the configuration's name, its file, and what a row of it is.

    `features` declares the columns as the card's `dataset_info` spells them (`Features._to_yaml_list`), for a
    file whose columns must not be left to inference: Arrow gives every object the keys of all of them.
    """

    name: str
    file: str
    description: str
    features: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CardText:
    """What a dataset card says that no report knows. Texts are Markdown.

    `origin` are the Hub repos that the rows come from; the first of `configs` is the default. `tasks`,
    `languages` and `tags` are the Hub's identifiers.
    """

    origin: tuple[str, ...]
    tasks: tuple[str, ...]
    languages: tuple[str, ...]
    tags: tuple[str, ...]
    configs: tuple[CardConfig, ...]
    made: tuple[str, ...]
    limitations: tuple[str, ...]
    loading: str


def describe_artifacts(store: Store, dataset: str, version: str, files: Sequence[str]) -> list[Artifact]:
    """Describe the files of a version, in the given order, in no more memory than the longest line takes.

    Raises:
        ArtifactMissing: a file is not in the store.
        ArtifactDamaged: a `.jsonl` file has a line that is not a JSON object.
    """
    return [_describe(store, dataset, version, file) for file in files]


def release_metrics(artifacts: Iterable[Artifact], reports: Reports) -> dict[str, int | float]:
    """The figures by which two releases are compared, flat, for `dvc metrics`.

    `rows.<artifact>`, `quarantined.<stage>.<reason>` in rows; `checks.failed` and `checks.warned` in checks;
    `watched.<anomaly or rate>` in the unit of that figure; `bias.<slice>.<value>` as a share of all rows; and the
    dataset's own measures by their names.
    """
    checks = reports.checks
    watched = [*checks["anomalies"], *checks["rates"]]
    metrics: dict[str, int | float] = {}
    metrics |= {f"rows.{artifact.name}": artifact.rows for artifact in artifacts if artifact.rows is not None}
    metrics |= {f"quarantined.{stage}.{reason}": rows for stage, reason, rows in _refusals(reports)}
    metrics["checks.failed"] = sum(not check["passed"] for check in checks["schema"])
    metrics["checks.warned"] = sum(not check["passed"] for check in watched)
    metrics |= {
        f"watched.{check['name']}": check["observed"] for check in watched if check["observed"] is not None
    }
    for part in reports.bias["slices"]:
        metrics |= {f"bias.{part['name']}.{value['value']}": value["share"] for value in part["values"]}
    return metrics | dict(reports.measures)


def release_manifest(
    version: str, manifest: Manifest, contract: Contract, artifacts: Sequence[Artifact], reports: Reports
) -> dict[str, Any]:
    """The release as plain JSON values: what went in, what made it, what came out, what was found."""
    return {
        "dataset": manifest.dataset,
        "version": version,
        "manifest_sha256": manifest.sha256,
        "manifest": manifest.model_dump(mode="json"),
        "licence": contract.licence,
        "package": {"name": "automend-assets", "version": installed_version("automend-assets")},
        "artifacts": [artifact.as_json() for artifact in artifacts],
        "metrics": release_metrics(artifacts, reports),
    }


def dataset_card(
    version: str,
    manifest: Manifest,
    contract: Contract,
    text: CardText,
    artifacts: Sequence[Artifact],
    reports: Reports,
) -> str:
    """The dataset card of a release: Markdown with the Hub's YAML front matter.

    Raises:
        ValueError: a configuration's file is not among the artifacts.
    """
    by_file = {artifact.file: artifact for artifact in artifacts}
    if missing := sorted({config.file for config in text.configs} - by_file.keys()):
        raise ValueError(
            f"The card of {contract.dataset} offers {missing}, which the release does not contain."
        )
    sections = [
        f"# {contract.title} {version}",
        contract.description,
        _table(
            ("Configuration", "File", "Rows", "A row is"),
            [
                (config.name, f"`{config.file}`", _number(by_file[config.file].rows), config.description)
                for config in text.configs
            ],
        ),
        "## How to load",
        text.loading.strip(),
        "## Where it comes from",
        _provenance(version, manifest, contract),
        "## How it was made",
        _list(text.made),
        "## Rows in, rows out",
        _rows(artifacts, reports),
        "## Checks",
        _checks(reports.checks),
        "## Bias",
        _bias(reports.bias),
        f"## Columns of `{contract.asset}`",
        _table(
            ("Column", "Type", "Meaning"),
            [(f"`{column.name}`", str(column.dtype), column.description) for column in contract.columns],
        ),
        "## Files",
        _table(
            ("File", "Bytes", "Rows", "sha256"),
            [
                (
                    f"`{artifact.file}`",
                    _number(artifact.bytes),
                    _number(artifact.rows),
                    f"`{artifact.sha256}`",
                )
                for artifact in artifacts
            ],
        ),
        "## Limitations",
        _list(text.limitations),
    ]
    rows = by_file[text.configs[0].file].rows or 0
    return f"---\n{_front_matter(contract, text, rows)}---\n\n" + "\n\n".join(sections) + "\n"


def _describe(store: Store, dataset: str, version: str, file: str) -> Artifact:
    path = store.require(dataset, version, file)
    rows: int | None = None
    schema: dict[str, str] | None = None
    # s3fs reads ahead by 50 MiB unless told; fsspec's own readline copies a whole block for every line.
    with path.fs.open(path.path, "rb", block_size=_BLOCK_BYTES) as opened:
        handle = BufferedReader(cast(RawIOBase, opened), _READ_BYTES)
        if file.endswith(".jsonl"):
            sha256, rows, schema = _read_lines(handle, path.path)
        else:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        size = handle.tell()
    if file.endswith(".parquet"):
        frame = store.scan_parquet(dataset, version, file)
        schema = {name: str(dtype) for name, dtype in frame.collect_schema().items()}
        rows = frame.select(pl.len()).collect().item()
    return Artifact(PurePath(file).stem, file, sha256, size, rows, schema)


def _read_lines(lines: Iterable[bytes], where: str) -> tuple[str, int, dict[str, str]]:
    """The sha256 of JSON lines, their number, and the JSON types of each key in order of first appearance."""
    digest = hashlib.sha256()
    rows = 0
    types: dict[str, set[str]] = {}
    for rows, line in enumerate(lines, start=1):
        digest.update(line)
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ArtifactDamaged(_not_an_object(where, rows, str(error))) from None
        if not isinstance(record, dict):
            raise ArtifactDamaged(_not_an_object(where, rows, f"a JSON {_JSON_TYPES[type(record)]}"))
        for key, value in record.items():
            types.setdefault(key, set()).add(_JSON_TYPES[type(value)])
    return digest.hexdigest(), rows, {key: " or ".join(sorted(found)) for key, found in types.items()}


def _not_an_object(where: str, line: int, found: str) -> str:
    return f"Line {line:,} of {where} is not a JSON object ({found}). Materialise that asset again."


def _refusals(reports: Reports) -> list[tuple[str, str, int]]:
    return [
        (stage, reason, rows)
        for stage, reasons in sorted(reports.quarantined.items())
        for reason, rows in sorted(reasons.items())
    ]


def _front_matter(contract: Contract, text: CardText, rows: int) -> str:
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=contract.title,
        license=contract.licence.lower(),
        language=list(text.languages),
        task_categories=list(text.tasks),
        size_categories=[next((name for limit, name in _SIZES if rows < limit), "1B<n<10B")],
        source_datasets=[f"extended|{repo}" for repo in text.origin],
        tags=list(text.tags),
        configs=[
            {"config_name": config.name, "data_files": [{"split": "train", "path": config.file}]}
            | ({"default": True} if config is text.configs[0] else {})
            for config in text.configs
        ],
        # The card's model leaves out what is None.
        dataset_info=[
            {"config_name": config.name, "features": [dict(feature) for feature in config.features]}
            for config in text.configs
            if config.features
        ]
        or None,
    )
    return f"{data.to_yaml()}\n"


def _provenance(version: str, manifest: Manifest, contract: Contract) -> str:
    match manifest.source.kind:
        case "hub":
            source = (
                f"`{manifest.source.repo}` on the Hugging Face Hub at revision `{manifest.source.revision}`"
            )
        case "file":
            source = f"the file `{PurePath(manifest.source.path).name}`, sha256 `{manifest.source.sha256}`"
        case "sample":
            source = f"the sample bundled with the project, generated, sha256 `{manifest.source.sha256}`"
        case "log":
            source = (
                f"the rows {manifest.source.lo} < id <= {manifest.source.hi} of the table `{manifest.source.table}`, "
                f"sha256 `{manifest.source.sha256}`"
            )
    asked = "all rows" if manifest.rows is None else f"{manifest.rows:,} rows"
    return _list(
        [
            f"Source: {source}.",
            f"Original dataset: <{contract.source_url}>.",
            f"Sample: {asked}, through a shuffle buffer of {manifest.shuffle_buffer:,} rows with seed"
            f" {manifest.seed}.",
            f"Version {version}, cut under the manifest with sha256 `{manifest.sha256}`.",
            f"Made by automend-assets {installed_version('automend-assets')}. The same manifest and code give"
            " the same bytes.",
            f"Licence: {contract.licence}.",
        ]
    )


def _rows(artifacts: Sequence[Artifact], reports: Reports) -> str:
    counted = _table(
        ("Artifact", "Rows"),
        [
            (f"`{artifact.name}`", _number(artifact.rows))
            for artifact in artifacts
            if artifact.rows is not None
        ],
    )
    refused = _refusals(reports)
    if not refused:
        return f"{counted}\n\nNo row was quarantined."
    return f"{counted}\n\nQuarantined, with its text and reason kept in `quarantine`:\n\n" + _table(
        ("Refused by", "Reason", "Rows"), [(f"`{stage}`", reason, _number(n)) for stage, reason, n in refused]
    )


def _checks(checks: Mapping[str, Any]) -> str:
    schema = checks["schema"]
    failed = [check for check in schema if not check["passed"]]
    text = f"{len(schema) - len(failed)} of {len(schema)} schema checks passed."
    if failed:
        text += "\n\n" + _table(
            ("Failed check", "Expected", "Observed"),
            [(check["name"], check["expected"], check["reason"] or check["observed"]) for check in failed],
        )
    return f"{text}\n\n" + _table(
        ("Watched figure", "Observed", "Warns", "Result"),
        [
            (
                check["name"],
                "not computed" if check["observed"] is None else _number(check["observed"]),
                f"{check['direction']} {_number(check['threshold'])}",
                "passed" if check["passed"] else f"**warning**: {check['recommendation']}",
            )
            for check in (*checks["anomalies"], *checks["rates"])
        ],
    )


def _bias(bias: Mapping[str, Any]) -> str:
    thresholds = bias["thresholds"]
    return (
        f"Shares of each slice in all {bias['rows']:,} processed rows (before), in the balanced file, and in"
        f" the sum of `sample_weight`. Below {_percent(thresholds['under_represented'])} a value is"
        f" under-represented (medium), below {_percent(thresholds['high_severity'])} severely so (high).\n\n"
    ) + _table(
        ("Slice", "Value", "Rows", "Before", "Balanced", "Weighted", "Severity"),
        [
            (
                part["name"],
                value["value"],
                _number(value["rows"]),
                _percent(value["share"]),
                _percent(value["balanced_share"]),
                _percent(value["weighted_share"]),
                value["severity"] or "",
            )
            for part in bias["slices"]
            for value in part["values"]
        ],
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    # A bar or a line break in a value would end its cell.
    return " ".join(text.split()).replace("|", "\\|")


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _percent(share: float) -> str:
    return f"{share:.1%}"
