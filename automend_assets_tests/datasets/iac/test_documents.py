"""Reading YAML: what comes out equals what PyYAML says, positions are right, and nothing hostile gets through or
lasts."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
import yaml

from automend_assets.datasets.iac import sample
from automend_assets.datasets.iac.documents import CODES, Limits, Parsed, YamlRefused, check, parse, resolve

LIMITS = Limits()
Reader = Callable[[str, Limits], object]


def code_of(text: str, reader: Reader = parse, limits: Limits = LIMITS) -> str | None:
    try:
        reader(text, limits)
    except YamlRefused as refused:
        return refused.code
    return None


def without_places(text: str, limits: Limits) -> Parsed:
    return parse(text, limits, places=False)


HOSTILE = {
    "invalid_yaml": "a: [1, 2\nb: c\n",
    "tab_indentation": "a:\n\tb: 1\n",
    "control_characters": "a: x\0y\n",
    "too_deep": "[" * 65 + "]" * 65,
    "too_many_documents": "a: 1\n---\n" * 10_000,
    "too_many_nodes": "[" + "1," * 100_001 + "]",
    "alias_bomb": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
    "recursive_alias": "a: &a\n  b: *a\n",
    "undefined_alias": "a: *nobody\n",
    "unsafe_tag": "a: !!python/object/apply:os.system ['touch /tmp/pwned']\n",
    "unknown_tag": "a: !Ref thing\n",
    "complex_key": "replicas: {{replicas}}\n",
}


@pytest.mark.parametrize("reader", [parse, without_places, check])
@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_text_that_gets_it(code: str, reader: Reader) -> None:
    assert code_of(HOSTILE[code], reader) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("!!python/name:os.system x", "unsafe_tag"),
        ("!!python/object/new:subprocess.Popen [[ls]]", "unsafe_tag"),
        ("!ruby/object:Gem {}", "unsafe_tag"),
        ("!!org.yaml.Snake []", "unsafe_tag"),
        ("? [a, b]\n: c", "complex_key"),
        ("{[a]: b}", "complex_key"),
        ("a: &a [1]\n*a : c", "complex_key"),
        ("- " * 70 + "x", "too_deep"),
        ("".join(" " * n + "a:\n" for n in range(70)), "too_deep"),
        ("a: \x07", "control_characters"),
        ("a: '\n", "invalid_yaml"),
        ("}{", "invalid_yaml"),
        ("a: b: c", "invalid_yaml"),
        ("%YAML 9.9\n---\na: 1", "invalid_yaml"),
        ("a: 1\n...\n%TAG", "invalid_yaml"),
    ],
)
def test_more_of_them(text: str, code: str) -> None:
    assert code_of(text) == code
    assert code_of(text, check) == code


@pytest.mark.parametrize("reader", [parse, without_places, check])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{" * 200_000,
        "- " * 100_000,
        "? " * 100_000,
        "&a " * 60_000,
        "a: " * 60_000,
        "'" * 200_000,
        '"\\' * 100_000,
        "!" * 200_000,
        "# " + "x" * 200_000,
        "a:\n" + " " * 199_000 + "b",
        HOSTILE["alias_bomb"],
        "a: &a {b: 1}\n" + "".join(f"k{n}: {{<<: *a, c{n}: 1}}\n" for n in range(5_000)),
        "x" * 200_000,
        "".join(f"{'x' * 100}{n}:\n" for n in range(1_900)),
        "--- \n" * 40_000,
        "|\n" + " \n" * 100_000,
    ],
)
def test_hostile_texts_cost_bounded_time_and_memory(text: str, reader: Reader) -> None:
    tracemalloc.start()
    started = time.process_time()
    code = code_of(text, reader)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code is None or code in CODES
    assert spent < 5
    assert peak < 200 << 20


def test_a_refusal_tells_where_and_nothing_of_the_text() -> None:
    with pytest.raises(YamlRefused) as refused:
        parse("a: 1\nb: [hunter2\nc: d\n", LIMITS)
    assert "line 3" in refused.value.detail
    assert "hunter2" not in str(refused.value)


def test_limits_are_what_the_options_say() -> None:
    limits = Limits(depth=2, documents=2, nodes=10)
    assert code_of("a: {b: 1}\n---\nc: d\n", parse, limits) is None
    for text, code in (
        ("a: {b: {c: 1}}", "too_deep"),
        ("a\n---\nb\n---\nc", "too_many_documents"),
        ("[1,2,3,4,5,6,7,8,9,10]", "too_many_nodes"),
    ):
        assert code_of(text, parse, limits) == code
        assert code_of(text, check, limits) == code


def test_checking_and_parsing_agree_on_generated_files_and_on_damaged_ones() -> None:
    for file in sample.generate(400, seed=5):
        text = file.content.replace("\r", "")
        third = len(text) // 3
        for damaged in (
            text,
            text[:third],
            text[third:],
            text.replace("  ", " ", 3),
            text.replace(": ", ":\t", 2),
        ):
            assert code_of(damaged, check) == code_of(damaged, parse) == code_of(damaged, without_places)


def test_documents_are_those_of_pyyaml() -> None:
    compared = 0
    for file in sample.generate(400, seed=6):
        text = file.content.replace("\ufeff", "")
        if file.truth.reason is None:  # no `on:` among them, which PyYAML takes for a boolean key
            compared += 1
            assert parse(text, LIMITS).documents == list(yaml.load_all(text, yaml.CSafeLoader))
            assert without_places(text, LIMITS) == Parsed(
                parse(text, LIMITS).documents, duplicate_keys=parse(text, LIMITS).duplicate_keys
            )
    assert compared > 150


def test_positions_enclose_each_scalar() -> None:
    text = "a: plain # no\n'b': 'it''s'\nc: \"x\\ny\"\nd: |\n  two\n  lines\ne: &anchor !!str 5\nf: [ü]\n"
    parsed = parse(text, LIMITS)
    pieces = {scalar.value: text[scalar.start : scalar.end] for scalar in parsed.scalars}
    assert pieces["plain"] == "plain"
    assert pieces["b"] == "'b'"
    assert pieces["it's"] == "'it''s'"
    assert pieces["x\ny"] == '"x\\ny"'
    assert pieces["two\nlines\n"].startswith("|\n  two\n  lines")
    assert pieces["5"] == "&anchor !!str 5"
    assert pieces["ü"] == "ü"
    assert [scalar.is_key for scalar in parsed.scalars[:4]] == [True, False, True, False]


def test_several_documents_and_empty_ones() -> None:
    parsed = parse("---\na: 1\n---\n---\nb: [2]\n...\n", LIMITS)
    assert parsed.documents == [{"a": 1}, None, {"b": [2]}]
    assert {scalar.document for scalar in parsed.scalars if scalar.is_key} == {0, 2}


def test_aliases_merges_and_duplicate_keys() -> None:
    parsed = parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\nc: 4\n", LIMITS)
    assert parsed.documents == [{"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": 4}]
    assert parsed.duplicate_keys == 1


def test_named_values_are_found_in_either_order() -> None:
    text = "env:\n- name: A\n  value: b\n- value: d\n  name: C\n- name: E\n"
    parsed = parse(text, LIMITS)
    values = [(parsed.scalars[n].value, parsed.scalars[v].value) for n, v in parsed.named_values]
    assert values == [("A", "b"), ("C", "d")]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("yes", "bool", True),
        ("Off", "bool", False),
        ("~", "null", None),
        ("0x1F", "int", 31),
        ("0o17", "int", 15),
        ("017", "int", 15),
        ("-1_000", "int", -1000),
        ("1e3", "float", 1000.0),
        (".5", "float", 0.5),
        ("1.16.0.2", "str", "1.16.0.2"),
        ("22:22", "str", "22:22"),
        ("2001-12-14", "timestamp", "2001-12-14"),
        ("1" * 50, "str", "1" * 50),
        ("-", "str", "-"),
        ("+", "str", "+"),
        ("500m", "str", "500m"),
    ],
)
def test_plain_scalars_mean_what_kubernetes_reads(text: str, kind: str, value: object) -> None:
    assert resolve(text) == (kind, value)
