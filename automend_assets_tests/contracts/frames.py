"""Frames for the tests of contracts: processed Glaive records that keep every promise, to be broken one by one."""

from __future__ import annotations

import polars as pl

from automend_assets.datasets.glaive.contract import CONTRACT

_CALLS = {"none": 0, "malformed": 0, "simple": 1, "moderate": 1, "complex": 2}


def processed_records(rows: int) -> pl.DataFrame:
    """Records whose slices have the sizes of the original's published run, the rare ones at fixed places."""
    records = [_record(number) for number in range(rows)]
    return pl.DataFrame(records, schema=CONTRACT.schema)


def _record(number: int) -> dict[str, object]:
    place = number % 1_000
    tier = "malformed" if place < 2 else "complex" if place < 180 else "moderate" if place < 285 else "simple"
    tier = "none" if place >= 555 else tier
    many = place < 8 and tier == "complex"
    calls = 3 if many else _CALLS[tier]
    return {
        "row_number": number,
        "system": "SYSTEM: You are a helpful assistant with access to the following functions.",
        "chat": f"USER: question {number}\n\n\nASSISTANT: answer <|endoftext|>",
        "num_turns": 6 if place % 50 == 0 else 1 + place % 4,
        "num_calls": calls,
        "complexity_tier": tier,
        "has_parallel": many,
        "has_malformed": tier == "malformed",
        "function_calls": "[]",
        "num_defined_functions": 1 if place < 600 else 0,
        "defined_function_names": "[]",
        "function_signatures": "{}",
        "has_error_handling": place % 15 == 0,
        "has_function_error_response": False,
        "has_conditional_error": False,
        "error_keywords_found": "[]",
        "quarantine_reason": "malformed_call" if tier == "malformed" else None,
        "malformed_reasons": "[]",
        "recovered_reasons": "[]",
        "conversation_errors": "[]",
        "num_parallel_calls": calls,
        "num_function_responses": calls,
        "has_duplicate_function_names": False,
        "num_invalid_functions": 0,
        "call_errors": "[]",
        "num_call_errors": 0,
        "num_invalid_calls": 0,
        "conversation": "[]",
        "tools": "[]",
        "workflow": "[]",
    }
