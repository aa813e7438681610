"""What the dataset of manifests promises: columns, the 6 checks of every record, the anomalies, the bias slices.

Only the declaration. How checks are run and bias is measured is in `automend_assets.contracts`, how the columns are
filled is in `process.py`.
"""

from __future__ import annotations

import polars as pl

from automend_assets.contracts.contract import (
    Anomaly,
    BiasSlice,
    Column,
    Contract,
    Expectation,
    OfExpected,
    SliceMetric,
)
from automend_assets.datasets.iac.chatml import RECORD_CHECKS
from automend_assets.datasets.iac.prompts import PROMPT_TYPES
from automend_assets.datasets.iac.resources import IAC_TYPES

_TEXT, _NUMBER, _FLAG = pl.String(), pl.Int64(), pl.Boolean()
_TEXTS = pl.List(pl.String())

_CONTENT, _LICENCES, _PATH = ("content",), ("licenses",), ("path",)
_PROMPT = ("content", "path", "hexsha")

MAX_SHARE = 0.40
"""The largest share of an iac_type in the balanced file; any slice value above it is reported."""

_COLUMNS = (
    Column("row_number", _NUMBER, "How many rows of the source were read before it", ("row_number",)),
    Column("hexsha", _TEXT, "Git's name of the file's content as upstream has it", ("hexsha",)),
    Column("repo", _TEXT, "Repository that the file is from", ("repo",)),
    Column("path", _TEXT, "Path of the file in its repository", ("path",)),
    Column("size", _NUMBER, "Bytes of the redacted manifest", _CONTENT),
    Column(
        "licenses", _TEXTS, "SPDX ids of the licences of the repository, all of them permissive", _LICENCES
    ),
    Column("licence", _TEXT, "The same as one SPDX expression", _LICENCES),
    Column("content", _TEXT, "The manifest: YAML, redacted, line ends of one kind", _CONTENT),
    Column("num_documents", _NUMBER, "YAML documents that are not empty", _CONTENT),
    Column("num_resources", _NUMBER, "Kubernetes resources, those of a List one by one", _CONTENT),
    Column("kinds", _TEXT, "JSON list of the kinds of the resources", _CONTENT),
    Column("api_versions", _TEXT, "JSON list of the API versions of the resources", _CONTENT),
    Column("names", _TEXT, "JSON list of the names of the resources, each once", _CONTENT),
    Column("namespaces", _TEXT, "JSON list of their namespaces, each once", _CONTENT),
    Column("images", _TEXT, "JSON list of the container images, each once", _CONTENT),
    Column("gpus", _NUMBER, "The most GPUs that one container asks for", _CONTENT),
    Column(
        "iac_type",
        _TEXT,
        "kserve, seldon, k8s_workload or k8s_config: the first that a resource is",
        _CONTENT,
    ),
    Column("keywords", _TEXTS, "Words of ML infrastructure that occur", _CONTENT),
    Column("prompt_type", _TEXT, "What the file's name is about: the first rule that fits", _PATH),
    Column("prompt", _TEXT, "What a user would ask for to get this manifest", _PROMPT),
    Column("messages", _TEXT, "JSON list: the request, and the reply that applies the manifest", _PROMPT),
    Column("repairs", _TEXT, "JSON list of what was made uniform: byte_order_mark, line_ends", _CONTENT),
    Column("num_duplicate_keys", _NUMBER, "Keys that an object has twice; the last counts", _CONTENT),
    Column("redactions", _TEXT, "JSON object: places that were replaced, by rule", _CONTENT),
    Column("num_redactions", _NUMBER, "Places that were replaced", _CONTENT),
    Column("num_findings", _NUMBER, "Personal data and secrets that a last scan still finds", _CONTENT),
    Column(
        "kubernetes_check",
        _TEXT,
        "valid, invalid, or unknown when no resource has a known API version",
        _CONTENT,
    ),
    Column(
        "num_known_resources", _NUMBER, "Resources that were checked against Kubernetes' schemas", _CONTENT
    ),
    Column("num_unknown_resources", _NUMBER, "Resources of custom APIs, which were not", _CONTENT),
    Column(
        "kubernetes_errors",
        _TEXT,
        "JSON list of contradictions: resource, code and path, never a value",
        _CONTENT,
    ),
    Column("has_record_keys", _FLAG, "Whether each message has exactly role and content, as texts", _CONTENT),
    Column("roles_in_order", _FLAG, "Whether the roles are user, assistant", _CONTENT),
    Column("content_is_json", _FLAG, "Whether the reply is JSON", _CONTENT),
    Column("tool_is_apply_manifest", _FLAG, "Whether the reply calls apply_manifest", _CONTENT),
    Column("manifest_parses", _FLAG, "Whether the manifest in the call is YAML within the limits", _CONTENT),
)


def _is_true(column: str, description: str) -> Expectation:
    return Expectation(
        column, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": (True,)}, description
    )


_EXPECTATIONS = (
    _is_true("has_record_keys", "Each message of every record has exactly a role and a content"),
    _is_true("roles_in_order", "Every record is one request of a user and one reply of the assistant"),
    _is_true("content_is_json", "Every reply is JSON"),
    _is_true("tool_is_apply_manifest", "Every reply calls the tool apply_manifest"),
    _is_true("manifest_parses", "Every manifest is YAML"),
    Expectation(
        "nothing_left_to_redact",
        "ExpectColumnValuesToBeBetween",
        {"column": "num_findings", "min_value": 0, "max_value": 0},
        "The scanner finds no personal data and no secret in any manifest",
    ),
)

_FINDS_NOTHING = pl.col("num_findings") == 0
_PASSES = pl.all_horizontal(*RECORD_CHECKS, _FINDS_NOTHING)
_VIOLATIONS = pl.max_horizontal(*((~pl.col(name)).sum() for name in RECORD_CHECKS), (~_FINDS_NOTHING).sum())

_ANOMALIES = (
    Anomaly(
        "pass_rate",
        _PASSES.mean(),
        "below",
        0.80,
        "Look at which of the six checks fail: the way in which records are made has changed",
        "Share of records that pass all six checks",
    ),
    Anomaly(
        "findings_left",
        pl.col("num_findings").sum(),
        "above",
        0,
        "Do not release this version; look at `redactions`, and report the rule that is not stable",
        "Personal data and secrets left in manifests",
    ),
    Anomaly(
        "most_frequent_violation",
        _VIOLATIONS,
        "above",
        50,
        "Look at the check that fails so often",
        "Records that fail the one check that most of them fail",
    ),
    Anomaly(
        "low_row_count",
        pl.len(),
        "below",
        OfExpected(0.001),
        "Look at the yield per filter in `diagnostic`, and draw more rows: few files are manifests of this kind",
        "Number of manifests, against the rows that the version was cut from",
    ),
)

_RATES = (
    Anomaly(
        "kubernetes_valid_rate",
        # Where nothing could be checked, nothing is wrong.
        (pl.col("kubernetes_check") == "valid")
        .filter(pl.col("kubernetes_check") != "unknown")
        .mean()
        .fill_null(1.0),
        "below",
        0.80,
        "Look at kubernetes_errors: patches of kustomize lack required fields, old files use fields that are gone",
        "Share of the checked manifests that agree with Kubernetes' schemas; custom APIs are not checked",
    ),
)

_KIB = 1024
_SIZE = pl.col("size")

_SLICES = (
    BiasSlice(
        "iac_type",
        pl.col("iac_type"),
        IAC_TYPES,
        "What the manifest sets up",
        over_represented=MAX_SHARE,
        max_share=MAX_SHARE,
    ),
    BiasSlice(
        "licence",
        pl.col("licence"),
        ("Apache-2.0", "MIT", "BSD-3-Clause", "BSD-2-Clause", "CC0-1.0"),
        "Licence of the repository",
        over_represented=MAX_SHARE,
    ),
    BiasSlice(
        "size",
        pl.when(_SIZE < _KIB)
        .then(pl.lit("<1 KB"))
        .when(_SIZE < 10 * _KIB)
        .then(pl.lit("1-10 KB"))
        .when(_SIZE < 100 * _KIB)
        .then(pl.lit("10-100 KB"))
        .otherwise(pl.lit(">100 KB")),
        ("<1 KB", "1-10 KB", "10-100 KB", ">100 KB"),
        "Bytes of the manifest",
        over_represented=MAX_SHARE,
    ),
    BiasSlice(
        "prompt_type",
        pl.col("prompt_type"),
        PROMPT_TYPES,
        "What the file's name is about",
        over_represented=MAX_SHARE,
    ),
)

_SLICE_METRICS = (
    SliceMetric("mean_bytes", pl.col("size").mean(), "Mean bytes"),
    SliceMetric("mean_resources", pl.col("num_resources").mean(), "Mean resources"),
    SliceMetric("redacted_share", (pl.col("num_redactions") > 0).mean(), "Share with anything redacted"),
    SliceMetric("gpu_share", (pl.col("gpus") > 0).mean(), "Share that asks for a GPU"),
    SliceMetric(
        "invalid_share", (pl.col("kubernetes_check") == "invalid").mean(), "Share against Kubernetes' schemas"
    ),
)

CONTRACT = Contract(
    dataset="iac",
    asset="manifests",
    source_asset="raw_sample",
    title="Kubernetes manifests for ML infrastructure",
    licence="other",
    source_url="https://huggingface.co/datasets/bigcode/the-stack-dedup",
    description=(
        "Kubernetes manifests about ML infrastructure from bigcode/the-stack-dedup, redacted, as training examples of"
        " the tool `apply_manifest`: the layer that teaches infrastructure as code."
    ),
    columns=_COLUMNS,
    expectations=_EXPECTATIONS,
    anomalies=_ANOMALIES,
    rates=_RATES,
    slices=_SLICES,
    slice_metrics=_SLICE_METRICS,
    usable=pl.lit(True),
)
