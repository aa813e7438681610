"""Kubernetes' own schemas, made small: the definitions of many API versions in one compressed file of this folder.

What belongs here: making that file out of what the package `kubernetes-validate` ships (JSON Schemas generated from
the OpenAPI descriptions of Kubernetes releases, Apache-2.0), and reading it. What does not: checking manifests with
it (`kubernetes.py`).

    python -m automend_assets.datasets.iac.kubernetes_schemas FOLDER [FOLDER ...] --out FILE

Each FOLDER is a `kubernetes_validate/kubernetes-json-schema` of an unpacked release of that package; the bundled file
was made from 1.37.0 and 1.21.0, which between them know every API version from Kubernetes 1.10 to 1.37 (releases in
`RELEASES`). A definition is taken from the newest release that has it; those of removed API versions stay as they
last were. Descriptions go, and null is allowed wherever Kubernetes takes it for "not set".
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

BUNDLE = Path(__file__).with_name("kubernetes_schemas.json.gz")
RELEASES = ("1.37", "1.33", "1.29", "1.25", "1.21", "1.19", "1.16", "1.15", "1.13", "1.10")
"""Newest first; in between lie the releases before each round of removals."""

_PREFIX = "#/definitions/"
_KINDS = "x-kubernetes-group-version-kind"
_KEPT = frozenset(
    {
        "type",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "$ref",
        "oneOf",
        "anyOf",
        "allOf",
    }
)
# With these a definition stands for whatever a user declares; Kubernetes checks it elsewhere.
_OPEN = ("x-kubernetes-preserve-unknown-fields",)


@lru_cache(maxsize=1)
def definitions() -> dict[str, Any]:
    """The bundle: `definitions` by name, and `kinds`, the name of a definition by `apiVersion/kind`."""
    bundle: dict[str, Any] = orjson.loads(gzip.decompress(BUNDLE.read_bytes()))
    return bundle


def build(folders: list[Path]) -> dict[str, Any]:
    """The bundle out of the schema folders of `kubernetes-validate`."""
    merged: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    for release in RELEASES:
        source = _source(folders, release)
        found = json.loads(source.read_text())
        for name, schema in sorted((found.get("$defs") or found["definitions"]).items()):
            if name in merged:
                continue
            merged[name] = _slim(schema)
            # Options of calls (DeleteOptions) claim to be of every group; no manifest holds them.
            declared = schema.get(_KINDS, [])
            if len(declared) == 1:
                kind = declared[0]
                version = "/".join(filter(None, (kind["group"], kind["version"])))
                kinds.setdefault(f"{version}/{kind['kind']}", name)
    reached = _reachable(merged, set(kinds.values()))
    return {
        "releases": list(RELEASES),
        "kinds": dict(sorted(kinds.items())),
        "definitions": {name: merged[name] for name in sorted(reached)},
    }


def _source(folders: list[Path], release: str) -> Path:
    for folder in folders:
        file = folder / f"v{release}.0-local-strict" / "_definitions.json"
        if file.exists():
            return file
    raise SystemExit(f"No schemas of Kubernetes {release} in {', '.join(map(str, folders))}.")


def _slim(schema: Any, *, is_properties: bool = False) -> Any:
    """A schema without descriptions; of a map of properties, each of the schemas."""
    if isinstance(schema, list):
        return [_slim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if is_properties:
        return {name: _slim(value) for name, value in schema.items()}
    slim: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in _KEPT:
            continue
        if key == "$ref":
            slim[key] = _PREFIX + value.rpartition("/")[2]
        elif key == "type":
            slim[key] = [value, "null"] if isinstance(value, str) and value != "null" else value
        elif key == "enum":
            slim[key] = [*value, None] if None not in value else value
        elif key == "required":
            slim[key] = value
        elif key == "oneOf":  # a string or a number: both may be null, and then both match
            slim["anyOf"] = _slim(value)
        else:
            slim[key] = _slim(value, is_properties=key == "properties")
    if any(schema.get(key) for key in _OPEN):
        slim.pop("additionalProperties", None)
    return slim


def _reachable(schemas: dict[str, Any], names: set[str]) -> set[str]:
    reached: set[str] = set()
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [ref for ref in _references(schemas[name]) if ref in schemas]
    return reached


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_PREFIX)
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=BUNDLE)
    options = parser.parse_args()
    text = orjson.dumps(build(options.folders), option=orjson.OPT_SORT_KEYS)
    options.out.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
