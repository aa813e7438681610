"""Arguments against schemas: the same verdict as jsonschema on clean ones, a defined one on dirty ones."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automend_assets.chat.verification import (
    ParameterSchema,
    check_arguments,
    declared_properties,
    required_names,
)

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where"},
        "days": {"type": "integer"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "people": {
            "type": "array",
            "items": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
        },
        "extra": {"type": "object"},
        "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["city"],
}


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        ({"city": "Oslo"}, []),
        ({"city": "Oslo", "days": 3.0, "extra": {"any": [1]}, "either": None}, []),
        ({}, [("missing_required", "$.city")]),
        ({"city": "Oslo", "nights": 1}, [("unexpected_parameter", "$.nights")]),
        ({"city": 7}, [("wrong_type", "$.city")]),
        ({"city": None}, [("wrong_type", "$.city")]),
        ({"city": "Oslo", "days": True}, [("wrong_type", "$.days")]),
        ({"city": "Oslo", "days": 1.5}, [("wrong_type", "$.days")]),
        ({"city": "Oslo", "unit": "K"}, [("bad_enum", "$.unit")]),
        ({"city": "Oslo", "point": {"y": 1}},
         [("missing_required", "$.point.x"), ("unexpected_parameter", "$.point.y")]),
        ({"city": "Oslo", "tags": ["a", 1, "b", None]}, [("wrong_type", "$.tags[1]"), ("wrong_type", "$.tags[3]")]),
        ({"city": "Oslo", "people": [{"age": 1}, {"age": "x"}, {}]},
         [("wrong_type", "$.people[1].age"), ("missing_required", "$.people[2].age")]),
        ({"city": "Oslo", "either": 1}, [("wrong_type", "$.either")]),
    ],
)  # fmt: skip
def test_codes_and_paths(arguments: dict[str, Any], errors: list[tuple[str, str]]) -> None:
    assert check_arguments(PARAMETERS, arguments) == errors


@pytest.mark.parametrize(
    ("parameters", "arguments", "codes"),
    [
        (None, {"a": 1}, []),
        ("none", {"a": 1}, []),
        ({}, {}, []),
        ({}, {"a": 1}, ["unexpected_parameter"]),
        ({"a": {"type": "integer"}}, {"a": "x", "b": 1}, ["wrong_type", "unexpected_parameter"]),
        ({"properties": {"a": {"type": "float"}}}, {"a": 1}, []),
        ({"properties": {"a": {"type": "Integer"}}}, {"a": "1"}, ["wrong_type"]),
        ({"properties": {"a": {"type": "dict"}}}, {"a": {"b": 1}}, []),
        ({"properties": {"a": {"type": "date"}}}, {"a": 3}, ["wrong_type"]),
        ({"properties": {"a": {"type": "any"}}}, {"a": [1]}, []),
        ({"properties": {"a": {"type": ["string", "null"]}}}, {"a": None}, []),
        ({"properties": {"a": {"type": ["string", "matrix"]}}}, {"a": 1}, []),
        ({"properties": {"a": "a word"}}, {"a": 1}, []),
        ({"properties": "words"}, {"a": 1}, []),
        ({"properties": {"a": {"enum": "C, F"}}}, {"a": "K"}, []),
        ({"properties": {"a": {"type": "string", "required": True}}}, {}, ["missing_required"]),
        ({"properties": {}, "required": ["a"]}, {}, ["missing_required"]),
        ({"properties": {}, "required": "a"}, {}, []),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"b": 1}, []),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"b": 1}, ["wrong_type"]),
        ({"properties": {"a": {"enum": [1]}}}, {"a": True}, ["bad_enum"]),
        ({"properties": {"a": {"enum": [1]}}}, {"a": 1.0}, []),
    ],
)
def test_dirty_schemas(parameters: Any, arguments: dict[str, Any], codes: list[str]) -> None:
    assert [error.code for error in check_arguments(parameters, arguments)] == codes


def test_what_is_declared_is_read_either_way() -> None:
    assert declared_properties({"a": {"type": "string", "required": True}}) == {
        "a": {"type": "string", "required": True}
    }
    assert required_names({"a": {"type": "string", "required": True}, "b": {}}) == ["a"]
    assert required_names({"properties": {"a": {"required": True}}, "required": ["b", 3]}) == ["b", "a"]


# --- the reference ----------------------------------------------------------------

keys = st.sampled_from("abc")
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.5, 1.0, -2.0])
    | st.sampled_from(["", "a", "b"])
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=6
)
words = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": words | st.lists(words, min_size=1, max_size=3, unique=True),
            "description": st.just("words"),
            "enum": st.lists(values, min_size=1, max_size=3),
            "const": scalars,
            "properties": st.dictionaries(keys, inner, max_size=3),
            "required": st.lists(keys, max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        },
    )


schema_trees = st.recursive(st.fixed_dictionaries({}, optional={"type": words}), schemas, max_leaves=6)
object_schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(keys, schema_trees, max_size=3)},
    optional={"required": st.lists(keys, max_size=2, unique=True)},
)


def closed(schema: Any) -> Any:
    """The schema with our one rule written out: declared properties are all there are."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, part in schema.items():
        if key == "properties":
            result[key] = {name: closed(inner) for name, inner in part.items()}
        else:
            result[key] = part if key in ("enum", "const", "required") else closed(part)
    if "properties" in schema:
        result.setdefault("additionalProperties", False)
    return result


@given(object_schemas, st.dictionaries(keys, values, max_size=3))
def test_the_verdict_is_that_of_jsonschema(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    expected = jsonschema.Draft202012Validator(closed(schema)).is_valid(arguments)
    assert (check_arguments(schema, arguments) == []) == expected


keywords = st.sampled_from(
    ["type", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf", "a", "b"]
)
dirty_schemas = st.recursive(
    values | words | st.sampled_from(["str", "any", ["object"]]),
    lambda inner: (
        st.dictionaries(keywords, inner, max_size=4)
        | st.fixed_dictionaries({"type": words}, optional={"properties": st.dictionaries(keys, inner)})
    ),
    max_leaves=8,
)


@given(object_schemas | dirty_schemas, st.dictionaries(keys, values, max_size=3))
def test_the_quick_check_passes_nothing_that_is_wrong(schema: Any, arguments: dict[str, Any]) -> None:
    assert ParameterSchema(schema).errors(arguments) == check_arguments(schema, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "Oslo", "unit": "C", "days": 3, "tags": ["a"], "place": {"lat": 1.5}},
        {"city": "Oslo", "tags": [], "place": {"lat": 1}},
    ],
)
def test_the_quick_check_passes_the_common_forms(arguments: dict[str, Any]) -> None:
    schema = ParameterSchema(
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "days": {"type": "integer"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
            },
            "required": ["city"],
        }
    )
    assert schema.errors(arguments) == []
    assert schema.errors({**arguments, "unit": "K", "tags": [1]}) != []
