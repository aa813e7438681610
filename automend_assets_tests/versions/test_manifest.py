"""Manifests: one canonical form per content, nothing unsaid, nothing misread."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from automend_assets.versions.manifest import (
    FileSource,
    HubSource,
    Manifest,
    ManifestInvalid,
    SampleSource,
    version_key,
    version_number,
)
from automend_assets_tests.versions.manifests import manifest

PLAIN: dict[str, Any] = json.loads(manifest().canonical())


def test_the_canonical_form_is_the_same_json_with_sorted_keys_and_no_white_space() -> None:
    given_text = manifest(rows=None, title="Größe", b=1, a=[1.5, None, True])
    assert (
        given_text.canonical()
        == (
            '{"dataset":"glaive","options":{"a":[1.5,null,true],"b":1,"title":"Größe"},"rows":null,'
            '"schema_version":1,"seed":42,"shuffle_buffer":10000,"source":{"bytes":1000,"kind":"sample","sha256":"'
            + "5" * 64
            + '"}}'
        ).encode()
    )
    assert given_text.sha256 == hashlib.sha256(given_text.canonical()).hexdigest()


def test_the_order_in_which_options_were_given_does_not_matter() -> None:
    assert manifest(a=1, b=2).sha256 == manifest(b=2, a=1).sha256
    assert manifest(a=1, b=2).sha256 != manifest(a=2, b=1).sha256


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_parse_gives_back_what_canonical_wrote(options: dict[str, Any]) -> None:
    try:
        written = Manifest(**{**PLAIN, "source": SampleSource(**PLAIN["source"]), "options": options})
    except ValidationError:
        # Only text that has no UTF-8 form, a lone surrogate, may be refused.
        with pytest.raises(UnicodeEncodeError):
            json.dumps(options, ensure_ascii=False).encode()
        return
    read = Manifest.parse(written.canonical())
    assert read == written
    assert read.canonical() == written.canonical()


@pytest.mark.parametrize(
    "source",
    [
        SampleSource(sha256="0" * 64, bytes=1),
        HubSource(repo="glaiveai/glaive-function-calling-v2", revision="e" * 40),
        FileSource(path="/data/rows.jsonl", sha256="f" * 64, bytes=0),
    ],
)
def test_every_kind_of_source_comes_back_as_itself(source: SampleSource | HubSource | FileSource) -> None:
    written = Manifest(dataset="glaive", source=source, rows=1, seed=0, shuffle_buffer=1)
    assert Manifest.parse(written.canonical()).source == source


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rows": "5000"}, "rows"),
        ({"rows": 0}, "rows"),
        ({"rows": True}, "rows"),
        ({"seed": -1}, "seed"),
        ({"shuffle_buffer": 0}, "shuffle_buffer"),
        ({"dataset": "../glaive"}, "dataset"),
        ({"dataset": "Glaive"}, "dataset"),
        ({"schema_version": 2}, "schema_version"),
        ({"colour": "red"}, "colour"),
        ({"source": {"kind": "hub", "repo": "a/b", "revision": "main"}}, "source.hub.revision"),
        ({"source": {"kind": "ftp"}}, "source"),
        ({"source": {"kind": "sample", "sha256": "5" * 63, "bytes": 1}}, "source.sample.sha256"),
    ],
)
def test_a_wrong_field_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ManifestInvalid, match=f"Not a version manifest: {field}: "):
        Manifest.parse(json.dumps({**PLAIN, **change}).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"dataset": NaN}', b"{" * 100_000])
def test_what_is_no_manifest_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        Manifest.parse(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_options_without_a_json_form_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="options"):
        manifest(value=value)  # type: ignore[arg-type]


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        manifest().seed = 7  # type: ignore[misc]


def test_version_keys_are_padded_and_grow() -> None:
    assert [version_key(number) for number in (1, 42, 9_999, 10_000)] == ["v0001", "v0042", "v9999", "v10000"]
    assert [version_number(version_key(number)) for number in (1, 9_999, 10_000, 123_456)] == [
        1,
        9_999,
        10_000,
        123_456,
    ]


@pytest.mark.parametrize(
    "key", ["", "1", "v1", "v0000", "v00001", "V0001", "v0001 ", "v-001", "v٠٠٠١", "v0001\n"]
)
def test_a_key_has_one_spelling(key: str) -> None:
    assert version_number(key) is None
