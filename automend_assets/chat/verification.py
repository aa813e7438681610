"""Checks the arguments of a tool call against the JSON Schema of its function.

Here: the checking and its coded errors. Not here: finding calls in text (``chat.call_scanner``) and anything about a
particular corpus.

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
=================================================  =============================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

UNKNOWN_FUNCTION = "unknown_function"
MISSING_REQUIRED = "missing_required"
UNEXPECTED_PARAMETER = "unexpected_parameter"
WRONG_TYPE = "wrong_type"
BAD_ENUM = "bad_enum"


class ArgumentError(NamedTuple):
    """One violation: a code of this module and where, as ``$``, ``$.name``, ``$.list[0].name``."""

    code: str
    path: str


_SPELLINGS = {
    "string": ("str", "text", "char", "date", "datetime", "date-time", "time", "email", "url", "uri", "uuid"),
    "integer": ("int", "long", "int32", "int64"),
    "number": ("float", "double", "decimal", "numeric"),
    "boolean": ("bool",),
    "object": ("dict", "dictionary", "map", "hash", "json"),
    "array": ("list", "tuple", "set"),
    "null": ("none",),
}
_JSON_TYPE = {spelling: name for name, others in _SPELLINGS.items() for spelling in (name, *others)}

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

_COMBINATIONS = frozenset({"anyOf", "oneOf", "allOf"})
_SCALAR_TYPES = {name: _PYTHON_TYPES[name] for name in ("string", "integer", "number", "boolean")}


class ParameterSchema:
    """The ``parameters`` that a function declares, prepared to pass at once what plainly fits."""

    def __init__(self, declared: Any) -> None:
        self.declared = declared
        schema = {"properties": declared_properties(declared)} if _is_bare_properties(declared) else declared
        self._fits = _quick_check({"type": "object", **schema}) if type(schema) is dict else _unsure

    def errors(self, arguments: dict[str, Any]) -> list[ArgumentError]:
        """What ``check_arguments`` finds."""
        return [] if self._fits(arguments) else check_arguments(self.declared, arguments)


def _quick_check(schema: Any) -> Callable[[Any], bool]:
    """A check that is true only of values without violation; of the common schemas, of all such values."""
    if type(schema) is not dict or not _COMBINATIONS.isdisjoint(schema) or "const" in schema:
        return _unsure
    kind = schema.get("type")
    if "enum" in schema:
        allowed = schema["enum"]
        if kind != "string" or type(allowed) is not list or set(map(type, allowed)) != {str}:
            return _unsure
        return lambda value: type(value) is str and value in allowed
    if kind == "array":
        fits = _quick_check(schema.get("items"))
        return lambda value: type(value) is list and all(map(fits, value))
    if kind == "object":
        return _quick_object_check(schema)
    types = _SCALAR_TYPES.get(kind, ()) if type(kind) is str else ()
    return lambda value: type(value) in types


def _quick_object_check(schema: dict[str, Any]) -> Callable[[Any], bool]:
    properties = schema.get("properties")
    if type(properties) is not dict:
        return _unsure
    required = frozenset(required_among(schema, properties))
    checks = {name: _quick_check(part) for name, part in properties.items()}

    def fits(value: Any) -> bool:
        return (
            type(value) is dict
            and required <= value.keys()
            and all(checks.get(name, _unsure)(item) for name, item in value.items())
        )

    return fits


def _unsure(_: Any) -> bool:
    return False


def check_arguments(parameters: Any, arguments: dict[str, Any]) -> list[ArgumentError]:
    """Violations of the ``parameters`` that a function declares, in the order of the schema and the arguments."""
    errors: list[ArgumentError] = []
    if type(parameters) is dict:
        if _is_bare_properties(parameters):
            parameters = {"properties": parameters}
        _check(parameters, arguments, "$", errors)
    return errors


def declared_properties(parameters: Any) -> dict[str, Any]:
    """Name -> schema of the parameters that ``parameters`` declares, whichever way it is written."""
    if type(parameters) is not dict:
        return {}
    properties = parameters if _is_bare_properties(parameters) else parameters.get("properties")
    return properties if type(properties) is dict else {}


def required_names(parameters: Any) -> list[str]:
    """Names of the required parameters, in declared order."""
    return required_among(parameters, declared_properties(parameters)) if type(parameters) is dict else []


def json_types(schema: Any) -> tuple[str, ...]:
    """JSON types that a schema's ``type`` names, in JSON Schema's words; empty when it does not constrain."""
    declared = schema.get("type") if type(schema) is dict else None
    names = declared if type(declared) is list else (declared,)
    types = [_JSON_TYPE.get(name.lower(), "") if type(name) is str else "" for name in names]
    return tuple(types) if all(types) else ()


def _is_bare_properties(parameters: Any) -> bool:
    if (
        type(parameters) is not dict
        or "properties" in parameters
        or type(parameters.get("type")) in (str, list)
    ):
        return False
    return all(type(schema) is dict for schema in parameters.values())


def required_among(schema: dict[str, Any], properties: dict[str, Any]) -> list[str]:
    """Names that an object schema with these properties requires, in declared order."""
    listed = schema.get("required")
    names = [name for name in listed if type(name) is str] if type(listed) is list else []
    for name, part in properties.items():
        if type(part) is dict and "required" in part and part["required"] is True and name not in names:
            names.append(name)
    return names


def _check(schema: Any, value: Any, path: str, errors: list[ArgumentError]) -> None:
    if type(schema) is not dict:
        if schema is False:
            errors.append(ArgumentError(UNEXPECTED_PARAMETER, path))
        return
    declared = schema.get("type")
    if declared is not None and not _is_of_type(schema, declared, value):
        errors.append(ArgumentError(WRONG_TYPE, path))
    if "enum" in schema and not _is_in(schema["enum"], value):
        errors.append(ArgumentError(BAD_ENUM, path))
    if "const" in schema and not _equal(schema["const"], value):
        errors.append(ArgumentError(BAD_ENUM, path))
    if type(value) is dict:
        _check_object(schema, value, path, errors)
    elif type(value) is list and type(items := schema.get("items")) in (dict, bool):
        for index, item in enumerate(value):
            _check(items, item, f"{path}[{index}]", errors)
    if not _COMBINATIONS.isdisjoint(schema):
        _check_combinations(schema, value, path, errors)


def _is_of_type(schema: dict[str, Any], declared: Any, value: Any) -> bool:
    found = type(value)
    if type(declared) is str and found in _PYTHON_TYPES.get(declared, ()):
        return True
    names = json_types(schema)
    if not names or any(found in _PYTHON_TYPES[name] for name in names):
        return True
    # JSON Schema counts 1.0 as an integer.
    return found is float and "integer" in names and value.is_integer()


def _is_in(allowed: Any, value: Any) -> bool:
    return type(allowed) is not list or not allowed or any(_equal(value, item) for item in allowed)


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 equals 1.0, but neither equals true, at any depth."""
    if type(left) is bool or type(right) is bool:
        return left is right
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(_equal, left, right))
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _check_object(
    schema: dict[str, Any], value: dict[str, Any], path: str, errors: list[ArgumentError]
) -> None:
    properties = schema.get("properties")
    declares = type(properties) is dict
    declared: dict[str, Any] = properties if type(properties) is dict else {}
    for name in required_among(schema, declared):
        if name not in value:
            errors.append(ArgumentError(MISSING_REQUIRED, f"{path}.{name}"))  # noqa: PERF401
    others = schema.get("additionalProperties", not declares)
    for name, item in value.items():
        _check(declared.get(name, others), item, f"{path}.{name}", errors)


def _check_combinations(schema: dict[str, Any], value: Any, path: str, errors: list[ArgumentError]) -> None:
    for keyword in ("anyOf", "oneOf"):
        branches = schema.get(keyword)
        if type(branches) is list and branches:
            matches = sum(not _violations(branch, value, path) for branch in branches)
            if matches == 0 or (keyword == "oneOf" and matches > 1):
                errors.append(ArgumentError(WRONG_TYPE, path))
    together = schema.get("allOf")
    for part in together if type(together) is list else ():
        _check(part, value, path, errors)


def _violations(schema: Any, value: Any, path: str) -> list[ArgumentError]:
    errors: list[ArgumentError] = []
    _check(schema, value, path, errors)
    return errors
