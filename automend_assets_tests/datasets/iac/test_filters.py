"""Which files are refused and why: keywords are words, every licence counts, the first filter names the reason."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from automend_assets.datasets.iac.filters import found_keywords, is_permissive
from automend_assets.datasets.iac.options import IacOptions
from automend_assets.datasets.iac.process import prepare_batch

MANIFEST = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  labels:\n    app: pipeline\ndata:\n"
    + "".join(f"  option-{number}: value of option {number}\n" for number in range(8))
)


def raw(content: str | None, **changes: Any) -> pl.DataFrame:
    row = {
        "row_number": 0,
        "hexsha": "a" * 40,
        "ext": "yaml",
        "repo": "owner/repo",
        "path": "deploy/settings.yaml",
        "licenses": ["Apache-2.0"],
        "alphanum_fraction": 0.6,
        "content": content,
        "source_error": None,
        "source_text": None,
    } | changes
    return pl.DataFrame(
        [row],
        schema={
            "row_number": pl.Int64,
            **dict.fromkeys(("hexsha", "ext", "repo", "path"), pl.String),
            "licenses": pl.List(pl.String),
            "alphanum_fraction": pl.Float64,
            **dict.fromkeys(("content", "source_error", "source_text"), pl.String),
        },
    )


def reason(content: str | None, options: IacOptions | None = None, **changes: Any) -> str | None:
    """The code that refuses a file; None when it becomes a manifest."""
    kept, dropped = prepare_batch(raw(content, **changes), options=options or IacOptions(), seed=42)
    assert len(kept) + len(dropped) == 1
    return dropped["reason"].item() if len(dropped) else None


def test_a_manifest_is_kept() -> None:
    assert reason(MANIFEST) is None


@pytest.mark.parametrize(
    ("content", "changes", "code"),
    [
        ("", {}, "empty"),
        (" \n\t\n" * 200, {}, "empty"),
        (MANIFEST[:150], {}, "size_out_of_range"),
        (MANIFEST + "# " + "x" * 200_000, {}, "size_out_of_range"),
        (MANIFEST, {"alphanum_fraction": 0.2}, "low_alphanumeric"),
        (MANIFEST, {"ext": "txt"}, "extension"),
        (MANIFEST, {"ext": None}, "extension"),
        (MANIFEST.replace("apiVersion:", "api_version:"), {}, "not_kubernetes"),
        (MANIFEST.replace("kind:", "# kind:"), {}, "not_kubernetes"),
        (MANIFEST.replace("metadata:", "meta_data:"), {}, "not_kubernetes"),
        (MANIFEST.replace("settings", '{{ include "x.name" . }}'), {}, "helm_template"),
        (MANIFEST.replace("settings", "{{ .Values.name }}"), {}, "helm_template"),
        (MANIFEST.replace("settings", "{{ name }}"), {}, "helm_template"),
        ("{{- if x }}\n" + MANIFEST + "{{- end }}\n", {}, "helm_template"),
        (MANIFEST + "a: [\n", {}, "invalid_yaml"),
        (MANIFEST + "---\na: 1\n", {}, "not_a_resource"),
        (MANIFEST + "---\n- a\n", {}, "not_a_resource"),
        (MANIFEST, {"licenses": ["GPL-3.0"]}, "licence_not_permissive"),
        (MANIFEST, {"licenses": []}, "licence_not_permissive"),
        (MANIFEST.replace("pipeline", "shop"), {}, "no_ml_infrastructure"),
        (None, {"source_error": "invalid_utf8"}, "invalid_utf8"),
        (None, {"source_error": "duplicate_hexsha"}, "duplicate_hexsha"),
    ],
)
def test_each_filter_has_its_code(content: str | None, changes: dict[str, Any], code: str) -> None:
    assert reason(content, **changes) == code


def test_the_first_filter_in_the_order_of_the_page_names_the_reason() -> None:
    everything = {"alphanum_fraction": 0.1, "ext": "txt", "licenses": ["GPL-3.0"]}
    broken = MANIFEST.replace("pipeline", "shop") + "a: [\n"
    assert reason(broken, **everything) == "low_alphanumeric"
    assert reason(broken, ext="txt", licenses=["GPL-3.0"]) == "extension"
    assert reason(broken, licenses=["GPL-3.0"]) == "invalid_yaml"
    assert reason(MANIFEST.replace("pipeline", "shop"), licenses=["GPL-3.0"]) == "licence_not_permissive"


@pytest.mark.parametrize(
    "content",
    [
        MANIFEST + "---\n" + MANIFEST,
        "---\n" + MANIFEST + "---\n",
        MANIFEST.replace("value of option 1", '"{{workflow.parameters.x}}"'),
        MANIFEST.replace("value of option 1", "'{{ $labels.instance }} is down'"),
        MANIFEST + "  text: |\n    {{ range . }} of Prometheus\n",
        "# {{ of a comment }}\n" + MANIFEST,
        "\ufeff" + MANIFEST,
        MANIFEST.replace("\n", "\r\n"),
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "pipeline '
        + "of many words " * 20
        + '"}}',
    ],
)
def test_valid_files_of_unusual_form_are_kept(content: str) -> None:
    assert reason(content) is None


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (MANIFEST + BOMB, "alias_bomb"),
        (MANIFEST + "x: &x [*x]\n", "recursive_alias"),
        (MANIFEST + "tabs:\n\tinside: 1\n", "tab_indentation"),
        (MANIFEST + "nul: a\0b\n", "control_characters"),
        (MANIFEST + "call: !!python/object/apply:os.system [ls]\n", "unsafe_tag"),
        (MANIFEST + "---\na: 1\n" * 10_000, "too_many_documents"),
        (MANIFEST + "deep: " + "[" * 5_000 + "]" * 5_000 + "\n", "too_deep"),
        (MANIFEST + "many: [" + "1," * 95_000 + "]\n", None),
        ("\ufeff" + MANIFEST, None),
        (MANIFEST.replace("\n", "\r\n"), None),
        (MANIFEST.replace("\n", "\r"), None),
    ],
)
def test_hostile_files_have_a_code_or_are_manifests(content: str, code: str | None) -> None:
    assert reason(content) == code
    # Beside a filter that refuses them anyway, the reading has the first word.
    assert reason(content, licenses=["GPL-3.0"]) == (code or "licence_not_permissive")


def test_a_byte_order_mark_and_line_ends_are_made_uniform_and_noted() -> None:
    kept, _ = prepare_batch(raw("\ufeff" + MANIFEST.replace("\n", "\r\n")), options=IacOptions(), seed=42)
    assert kept["content"].item() == MANIFEST
    assert kept["repairs"].item() == '["byte_order_mark","line_ends"]'


@pytest.mark.parametrize(
    ("licenses", "permissive"),
    [
        (["MIT"], True),
        (["mit", "Apache-2.0", "BSD-3-Clause"], True),
        (["MIT", "GPL-2.0"], False),
        (["MIT-0"], False),
        ([None], False),
        ([], False),
        (None, False),
    ],
)
def test_every_licence_must_be_permissive(licenses: list[str | None] | None, permissive: bool) -> None:
    frame = pl.DataFrame({"licenses": [licenses]}, schema={"licenses": pl.List(pl.String)})
    assert frame.select(is_permissive(IacOptions())).item() is permissive


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image: nvidia-gpu-operator", ["gpu"]),
        ("nvidia.com/gpu: 1", ["nvidia.com/gpu", "gpu"]),
        ("gpus: 2", ["gpu"]),
        ("gpuCount: 2", ["gpu"]),
        ("GPU", ["gpu"]),
        ("gpuless", []),
        ("observing, deserving and preserving", []),
        ("kind: ClusterServingRuntime", ["servingruntime", "serving"]),
        ("kind: WorkflowTemplate", ["workflow"]),
        ("storageUri: s3://x", ["storageuri"]),
        ("apiGroups: [inferenceservices.serving.kserve.io]", ["kserve", "inferenceservice", "serving"]),
        ("workflowed", []),
        ("pipelines", ["pipeline"]),
    ],
)
def test_keywords_are_words_or_fields(text: str, words: list[str]) -> None:
    found = pl.DataFrame({"content": [text]}).select(found_keywords(IacOptions())).item()
    assert sorted(found) == sorted(words)


def test_the_options_decide() -> None:
    options = IacOptions(
        licences=("gpl-3.0",), keywords={"own": ("settings",)}, extensions=("txt",), min_bytes=10, max_depth=2
    )
    changes = {"licenses": ["GPL-3.0"], "ext": "txt"}
    assert reason(MANIFEST.replace("  labels:\n    app: pipeline\n", ""), options, **changes) is None
    assert reason(MANIFEST, options, **changes) == "too_deep"


def test_the_options_come_back_from_a_manifest_as_they_were() -> None:
    options = IacOptions(keywords={"a": ("b",)}, max_bytes=1_000)
    assert IacOptions.model_validate(options.model_dump(mode="json")) == options
