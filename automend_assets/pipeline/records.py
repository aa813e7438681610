"""What readers of raw records share, whatever the records are: their errors, and text in Parquet that nobody checked.

No Dagster and no connector: the modules of a dataset that find records in bytes build on this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from automend_assets.errors import PermanentError

if TYPE_CHECKING:
    import pyarrow as pa


class SourceNotReadable(PermanentError):
    """A source is not in any form that can be read, or is damaged beyond the record at hand."""


class EmptySource(PermanentError):
    """A source holds no record at all."""


def is_text(dtype: pa.DataType) -> bool:
    """Whether a Parquet column of this type holds text, or nothing but nulls."""
    import pyarrow.types as types

    if types.is_dictionary(dtype):
        dtype = dtype.value_type
    return any(
        test(dtype) for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    )


def as_bytes(column: pa.Array) -> list[bytes | None]:
    """The values of a text column before UTF-8 is believed.

    Parquet does not check it, and pyarrow fails a whole batch for one bad value.
    """
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    values: list[bytes | None] = column.cast(pa.large_binary()).to_pylist()
    return values
