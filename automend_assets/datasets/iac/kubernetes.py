"""Holds resources against Kubernetes' own schemas, offline.

Here: which schema a resource has, and the coded errors where it contradicts that. Not here: where the schemas come
from (`kubernetes_schemas.py`).

A resource whose API version Kubernetes itself defines is checked strictly, as `kubectl apply` asks the server to:
unknown fields are errors. A resource of another group (a custom one, whose definition is in some cluster) is counted,
not failed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from automend_assets.datasets.iac.kubernetes_schemas import definitions

MAX_ERRORS = 20
"""Errors that are noted per file."""


class SchemaError(NamedTuple):
    """One contradiction: which resource, the keyword of the schema, and where in the resource. Never a value."""

    resource: int
    code: str
    path: str


class Verdict(NamedTuple):
    """What became of the resources of a file: so many of a known API, of an unknown one, and the errors of the
    former."""

    known: int
    unknown: int
    errors: list[SchemaError]

    @property
    def result(self) -> str:
        """invalid, valid (something was checked and nothing is wrong), or unknown (nothing could be checked)."""
        if self.errors:
            return "invalid"
        return "valid" if self.known else "unknown"


def check_resources(resources: list[dict[str, Any]]) -> Verdict:
    """Check every resource whose schema is known."""
    known = 0
    errors: list[SchemaError] = []
    for index, resource in enumerate(resources):
        validator = _validator(f"{resource.get('apiVersion')}/{resource.get('kind')}")
        if validator is None:
            continue
        known += 1
        if validator.is_valid(resource):
            continue
        errors += (
            SchemaError(index, error.kind.name, "/".join(map(str, error.instance_path)))
            for error in islice(validator.iter_errors(resource), MAX_ERRORS - len(errors))
        )
    return Verdict(known, len(resources) - known, errors)


@lru_cache(maxsize=512)
def _validator(kind: str) -> Any:
    """The compiled schema of an `apiVersion/kind`; None for one that Kubernetes does not define."""
    import jsonschema_rs

    bundle = definitions()
    name = bundle["kinds"].get(kind)
    if name is None:
        return None
    needed: dict[str, Any] = {}
    _collect(bundle["definitions"][name], bundle["definitions"], needed)
    return jsonschema_rs.Draft7Validator({**bundle["definitions"][name], "definitions": needed})


def _collect(schema: Any, schemas: dict[str, Any], found: dict[str, Any]) -> None:
    """Add to `found` every definition that `schema` refers to, directly or not."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.rpartition("/")[2]
            if name not in found and name in schemas:
                found[name] = schemas[name]
                _collect(schemas[name], schemas, found)
        for value in schema.values():
            _collect(value, schemas, found)
    elif isinstance(schema, list):
        for item in schema:
            _collect(item, schemas, found)
