"""Checks the arguments of a tool call against the JSON Schema of its function.

Here: compiling one function's parameter schema into a checker, and the coded errors it reports. Not here: finding
calls in text (``chat.call_scanner``) and anything about a particular corpus.

The checked subset is what function-calling corpora use: ``type`` (one or a list), ``enum``, ``const``,
``properties``, ``required``, ``additionalProperties``, ``items``, ``anyOf`` / ``oneOf`` / ``allOf``. On it the verdict
equals the ``jsonschema`` library's (a property test holds them together), with one rule added: a schema that lists
``properties`` and says nothing about ``additionalProperties`` allows no others, because a model must not invent
parameters. Keywords outside the subset (``minimum``, ``pattern``, ``format`` ...) are not checked.

Real schemas are dirty. What is done with what JSON Schema does not define:

=================================================  =============================================================
``type`` in other words or case                    ``int``, ``float``, ``str``, ``dict``, ``list``, ``bool`` ... mean
                                                   the JSON type; ``date``, ``email`` ... mean string
unknown ``type``, ``any``, or no ``type``          no constraint
``properties`` not an object, a property that is   no constraint there
not a schema, ``enum`` not a list
``parameters`` that are directly name -> schema    read as ``properties``
``required: true`` inside a property               that property is required
a name in ``required`` that is not declared        still required
``parameters`` absent or not an object             nothing is declared, so nothing is checked
``parameters: {}``                                 the function takes no arguments
schema nested deeper than 32 levels                no constraint below
=================================================  =============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

UNKNOWN_FUNCTION = "unknown_function"
MISSING_REQUIRED = "missing_required"
UNEXPECTED_PARAMETER = "unexpected_parameter"
WRONG_TYPE = "wrong_type"
BAD_ENUM = "bad_enum"

MAX_SCHEMA_DEPTH = 32
"""Levels of a schema that are checked; corpora use at most five, hostile input any number."""


class ArgumentError(NamedTuple):
    """One violation: a code of this module and where, as ``$``, ``$.name``, ``$.list[0].name``."""

    code: str
    path: str


Checker = Callable[[Any, str, list[ArgumentError]], None]
"""Appends the violations of a value, found at a path, to a list."""

_SPELLINGS = {
    "string": (
        "string",
        "str",
        "text",
        "char",
        "date",
        "datetime",
        "date-time",
        "time",
        "email",
        "url",
        "uri",
        "uuid",
    ),
    "integer": ("integer", "int", "long", "int32", "int64"),
    "number": ("number", "float", "double", "decimal", "numeric"),
    "boolean": ("boolean", "bool"),
    "object": ("object", "dict", "dictionary", "map", "hash", "json"),
    "array": ("array", "list", "tuple", "set"),
    "null": ("null", "none"),
}
_JSON_TYPE = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}

# bool is an int in Python, but neither an integer nor a number in JSON: hence type(), not isinstance(), below.
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def compile_arguments(parameters: object) -> Checker:
    """The checker for the arguments of a function whose declared ``parameters`` are given."""
    if not isinstance(parameters, Mapping):
        return _anything
    if not parameters:
        return _compile({"type": "object", "properties": {}}, 0)
    if _is_bare_properties(parameters):
        return _compile({"type": "object", "properties": parameters}, 0)
    return _compile({"type": "object", **parameters}, 0)


def declared_properties(parameters: object) -> dict[str, Any]:
    """Name -> schema of the parameters that ``parameters`` declares, whichever way it is written."""
    if not isinstance(parameters, Mapping):
        return {}
    properties = parameters if _is_bare_properties(parameters) else parameters.get("properties")
    return dict(properties) if isinstance(properties, Mapping) else {}


def required_names(parameters: object) -> list[str]:
    """Names of the required parameters, in declared order."""
    if not isinstance(parameters, Mapping):
        return []
    return _required(parameters, declared_properties(parameters))


def json_types(schema: object) -> tuple[str, ...]:
    """JSON types that a schema's ``type`` names, in JSON Schema's words; empty when it does not constrain."""
    declared = schema.get("type") if isinstance(schema, Mapping) else None
    names = declared if isinstance(declared, list) else [declared]
    types = [_JSON_TYPE.get(name.lower()) if isinstance(name, str) else None for name in names]
    known = tuple(name for name in types if name is not None)
    return known if len(known) == len(types) else ()


def _is_bare_properties(parameters: Mapping[str, Any]) -> bool:
    return (
        "properties" not in parameters
        and not isinstance(parameters.get("type"), str | list)
        and all(isinstance(schema, Mapping) for schema in parameters.values())
    )


def _required(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> list[str]:
    listed = schema.get("required")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    marked = [n for n, s in properties.items() if isinstance(s, Mapping) and s.get("required") is True]
    return list(dict.fromkeys(names + marked))


def _anything(value: Any, path: str, errors: list[ArgumentError]) -> None:
    return


def _compile(schema: object, depth: int) -> Checker:
    if schema is False:
        return _nothing
    if not isinstance(schema, Mapping) or depth > MAX_SCHEMA_DEPTH:
        return _anything
    parts = [
        part
        for part in (
            _compile_type(schema),
            _compile_enum(schema),
            _compile_object(schema, depth),
            _compile_array(schema, depth),
            *(
                _compile_any(schema.get(keyword), depth, one=keyword == "oneOf")
                for keyword in ("anyOf", "oneOf")
            ),
            *(_compile(part, depth + 1) for part in _schemas(schema.get("allOf"))),
        )
        if part is not _anything
    ]
    if not parts:
        return _anything
    if len(parts) == 1:
        return parts[0]

    def check(value: Any, path: str, errors: list[ArgumentError]) -> None:
        for part in parts:
            part(value, path, errors)

    return check


def _nothing(value: Any, path: str, errors: list[ArgumentError]) -> None:
    errors.append(ArgumentError(UNEXPECTED_PARAMETER, path))


def _compile_type(schema: Mapping[str, Any]) -> Checker:
    names = json_types(schema)
    if not names:
        return _anything
    accepted = frozenset(python for name in names for python in _PYTHON_TYPES[name])
    # JSON Schema counts 1.0 as an integer.
    integral_floats = "integer" in names and float not in accepted

    def check(value: Any, path: str, errors: list[ArgumentError]) -> None:
        if type(value) not in accepted and not (
            integral_floats and type(value) is float and value.is_integer()
        ):
            errors.append(ArgumentError(WRONG_TYPE, path))

    return check


def _compile_enum(schema: Mapping[str, Any]) -> Checker:
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(allowed, list) or ("const" not in schema and not allowed):
        return _anything
    strings = frozenset(item for item in allowed if isinstance(item, str))
    others = [item for item in allowed if not isinstance(item, str)]

    def check(value: Any, path: str, errors: list[ArgumentError]) -> None:
        if type(value) is str:
            if value in strings:
                return
        elif any(_equal(value, item) for item in others):
            return
        errors.append(ArgumentError(BAD_ENUM, path))

    return check


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 equals 1.0, but neither equals true, at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _compile_object(schema: Mapping[str, Any], depth: int) -> Checker:
    properties = schema.get("properties")
    declares = isinstance(properties, Mapping)
    declared: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    required = _required(schema, declared)
    checkers = {name: _compile(part, depth + 1) for name, part in declared.items()}
    additional = schema.get("additionalProperties", not declares)
    others = _compile(additional, depth + 1)
    if not declares and not required and others is _anything:
        return _anything

    def check(value: Any, path: str, errors: list[ArgumentError]) -> None:
        if type(value) is not dict:
            return
        errors += [
            ArgumentError(MISSING_REQUIRED, f"{path}.{name}") for name in required if name not in value
        ]
        for name, item in value.items():
            part = checkers.get(name, others)
            if part is not _anything:
                part(item, f"{path}.{name}", errors)

    return check


def _compile_array(schema: Mapping[str, Any], depth: int) -> Checker:
    part = _compile(schema.get("items"), depth + 1)
    if part is _anything:
        return _anything

    def check(value: Any, path: str, errors: list[ArgumentError]) -> None:
        if type(value) is list:
            for index, item in enumerate(value):
                part(item, f"{path}[{index}]", errors)

    return check


def _compile_any(schemas: object, depth: int, *, one: bool) -> Checker:
    branches = [_compile(schema, depth + 1) for schema in _schemas(schemas)]
    if not branches:
        return _anything

    def check(value: Any, path: str, errors: list[ArgumentError]) -> None:
        matches = 0
        for branch in branches:
            found: list[ArgumentError] = []
            branch(value, path, found)
            matches += not found
        if matches == 0 or (one and matches > 1):
            errors.append(ArgumentError(WRONG_TYPE, path))

    return check


def _schemas(value: object) -> list[object]:
    return value if isinstance(value, list) else []
