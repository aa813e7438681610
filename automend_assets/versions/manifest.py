"""What goes into one version of a dataset: the manifest and its canonical form.

Here: the pydantic models of a manifest and of its source, canonical JSON and the sha256 over it, the spelling
of version keys. Not here: who numbers versions (`ledger.py`), where manifests are kept (`cutting.py`), how a
source is read (each dataset's `source.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from automend_assets.errors import PermanentError

DATASET_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
_KEY = re.compile(r"^v([0-9]{4,18})$")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ManifestInvalid(PermanentError):
    """A text that is not a manifest: not JSON, an unknown field, a missing or mistyped one."""


class ManifestChanged(PermanentError):
    """A manifest no longer has the sha256 under which its version was cut: somebody edited it."""


class _Frozen(BaseModel):
    # strict: a hand-written `"rows": "5000"` is refused instead of being read as a number.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SampleSource(_Frozen):
    """The sample bundled with the project; the hash pins which one."""

    kind: Literal["sample"] = "sample"
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class HubSource(_Frozen):
    """A dataset repository on the Hugging Face Hub at one commit (never a branch: a branch moves)."""

    kind: Literal["hub"] = "hub"
    repo: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class FileSource(_Frozen):
    """A local file as it was when the version was cut."""

    kind: Literal["file"] = "file"
    path: Annotated[str, Field(min_length=1)]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class LogSource(_Frozen):
    """The rows `lo < id <= hi` of a growing table, as they were when the version was cut.

    `table` names the table with its schema; it tells apart what is read with ids of its own. `rows` and `sha256`
    pin the content (`connectors.interactions.fingerprint`). Ranges of one table follow each other without gap or
    overlap: the ledger cuts only the range that begins where the newest version of the table ends.
    """

    kind: Literal["log"] = "log"
    table: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$")]
    lo: Annotated[int, Field(ge=0)]
    hi: Annotated[int, Field(ge=1)]
    rows: Annotated[int, Field(ge=1)]
    sha256: Sha256

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.hi <= self.lo:
            raise ValueError(f"hi must be above lo, and {self.hi} is not above {self.lo}")
        return self


Source = Annotated[SampleSource | HubSource | FileSource | LogSource, Field(discriminator="kind")]


class Manifest(_Frozen):
    """Everything that decides the content of a version. Equal manifests are the same version.

    `rows` is how many rows to take, None for all; `shuffle_buffer` is the size in rows of the seeded shuffle
    buffer they are drawn through; `options` holds what only one dataset understands, as plain JSON.
    """

    schema_version: Literal[1] = 1
    dataset: Annotated[str, Field(pattern=DATASET_PATTERN)]
    source: Source
    rows: Annotated[int, Field(ge=1)] | None
    seed: Annotated[int, Field(ge=0)]
    shuffle_buffer: Annotated[int, Field(ge=1)]
    options: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_canonical_form(self) -> Self:
        # JsonValue lets NaN, infinities and lone surrogates through; none of them has a JSON text.
        try:
            self.canonical()
        except ValueError as error:
            raise ValueError(f"options must be plain JSON: {error}") from None
        return self

    def canonical(self) -> bytes:
        """The one spelling of this manifest: sorted keys, no white space, UTF-8."""
        text = json.dumps(
            self.model_dump(mode="json"),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        return text.encode()

    @property
    def sha256(self) -> str:
        """Hex digest of `canonical()`, the identity of the version."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Read a manifest from JSON. Raises ManifestInvalid, naming each wrong field."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'text'}: {item['msg']}"
                for item in error.errors(include_url=False, include_input=False)
            )
            raise ManifestInvalid(f"Not a version manifest: {wrong}") from None


def version_key(number: int) -> str:
    """`v0001` for 1: padded to four digits so that keys sort by age, longer from 10,000 on."""
    return f"v{number:04d}"


def version_number(key: str) -> int | None:
    """The number of a version key, or None when `key` is not spelled as `version_key` spells it."""
    match = _KEY.match(key)
    if match is None:
        return None
    number = int(match[1])
    return number if number > 0 and version_key(number) == key else None
