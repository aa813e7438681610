"""Glaive from JSON lines to files, beside a plain single-process baseline; and a fuzzer of the parser.

    python benchmarks/glaive.py [--rows 112960] [--jsonl FILE] [--workers N] [--repeat N] [--only ours]
    python benchmarks/glaive.py --fuzz 1000000

Both sides run as child processes in the same run, one after the other, and their wall time counts from the start of
the interpreter. Ours does what production does: JSON lines -> raw frame -> processed records and quarantine (parsing,
features, verification, all in Parquet) -> both chat forms (JSON lines). The baseline is ``json`` and ``re`` per row by
the rules that the original followed, in one pass: records and chat lines as JSON lines, no verification, one chat form.
Peak memory is the sum of the resident sets of a side's processes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

ROWS = 112_960
SIDES = ("baseline", "ours")

# --- baseline -----------------------------------------------------------------

SYSTEM = "You are AutoMend, an MLOps remediation engine. Convert user requests into valid JSON workflow definitions."
KEYWORDS = ["error", "invalid", "failed", "null", "none", "exception", "traceback", "undefined", "not found"]
FUNCTIONS = re.compile(r"\{.*\}", re.DOTALL)
CALL = re.compile(r"<functioncall>\s*(\{.*?\})\s*(?:<\|endoftext\|>|$)", re.DOTALL)
QUOTED_ARGUMENTS = re.compile(r"\"arguments\":\s*'(.*)'", re.DOTALL)
CONDITIONAL = re.compile(r"(if|when).{0,30}(error|fail|invalid)", re.IGNORECASE)
USER = re.compile(r"USER:\s*(.*?)(?=ASSISTANT:|FUNCTION RESPONSE:|<\|endoftext\|>|$)", re.DOTALL)
ASSISTANT = re.compile(r"ASSISTANT:\s*(.*?)(?=USER:|FUNCTION RESPONSE:|<\|endoftext\|>|$)", re.DOTALL)


def baseline(source: Path, folder: Path) -> None:
    """Reads JSON lines, writes records.jsonl and chatml.jsonl."""
    with (
        source.open(encoding="utf-8") as lines,
        (folder / "records.jsonl").open("w", encoding="utf-8") as records,
        (folder / "chatml.jsonl").open("w", encoding="utf-8") as chatml,
    ):
        for line in lines:
            row = json.loads(line)
            chat = row.get("chat")
            if not isinstance(chat, str) or not chat.strip():
                continue
            record = baseline_record(row.get("system") or "", chat)
            records.write(json.dumps(record, ensure_ascii=False) + "\n")
            chatml.write(json.dumps(baseline_chatml(record), ensure_ascii=False) + "\n")


def baseline_record(system: str, chat: str) -> dict[str, Any]:
    signatures = baseline_signatures(system)
    calls = [baseline_call(match.group(1)) for match in CALL.finditer(chat)]
    lowered = chat.lower()
    keywords = [word for word in KEYWORDS if word in lowered]
    conditional = bool(CONDITIONAL.search(chat))
    response_error = "<functionresponse>" in lowered and "error" in lowered
    return {
        "system": system,
        "chat": chat,
        "num_turns": chat.count("USER:"),
        "num_calls": len(calls),
        "complexity_tier": baseline_tier(calls),
        "has_parallel": len(calls) > 1,
        "has_malformed": any("malformed" in call for call in calls),
        "function_calls": json.dumps(calls),
        "num_defined_functions": len(signatures),
        "defined_function_names": json.dumps(list(signatures)),
        "function_signatures": json.dumps(signatures),
        "has_error_handling": bool(keywords) or conditional or response_error,
        "has_function_error_response": response_error,
        "has_conditional_error": conditional,
        "error_keywords_found": json.dumps(keywords),
    }


def baseline_signatures(system: str) -> dict[str, Any]:
    match = FUNCTIONS.search(system)
    if not match:
        return {}
    try:
        function = json.loads(match.group(0))
    except json.JSONDecodeError:
        return {}
    parameters = function.get("parameters") or {}
    return {
        function.get("name", ""): {
            "description": function.get("description", ""),
            "parameters": list(parameters.get("properties", {})),
            "required": parameters.get("required", []),
        }
    }


def baseline_call(text: str) -> dict[str, Any]:
    try:
        call = json.loads(QUOTED_ARGUMENTS.sub(r'"arguments": \1', text))
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        return {"name": call.get("name", ""), "arguments": arguments}
    except (json.JSONDecodeError, AttributeError):
        return {"malformed": True, "raw": text[:100]}


def baseline_tier(calls: list[dict[str, Any]]) -> str:
    if not calls:
        return "none"
    if len(calls) > 1:
        return "complex"
    if "malformed" in calls[0]:
        return "malformed"
    arguments = calls[0]["arguments"]
    return "simple" if isinstance(arguments, dict) and len(arguments) <= 2 else "moderate"


def baseline_chatml(record: dict[str, Any]) -> dict[str, Any]:
    chat = record["chat"]
    user = USER.search(chat)
    steps = [
        {"tool": call["name"], "params": call["arguments"]}
        for call in json.loads(record["function_calls"])
        if "malformed" not in call
    ]
    answer: dict[str, Any] = {"workflow": {"steps": steps}}
    if not steps:
        reply = ASSISTANT.search(chat)
        answer["message"] = reply.group(1).strip()[:200] if reply else ""
    return {
        "messages": [
            {"role": "system", "content": f"{SYSTEM}\n\nAvailable Tools: {record['function_signatures']}"},
            {"role": "user", "content": user.group(1).strip() if user else ""},
            {"role": "assistant", "content": json.dumps(answer)},
        ],
        "complexity_tier": record["complexity_tier"],
        "has_error_handling": record["has_error_handling"],
        "num_turns": record["num_turns"],
        "num_calls": record["num_calls"],
    }


# --- ours ---------------------------------------------------------------------


def ours(source: Path, folder: Path, workers: int | None) -> None:
    """Reads JSON lines, writes processed_records.parquet, quarantine.parquet, chatml.jsonl, tool_messages.jsonl."""
    import polars as pl

    from automend_assets.datasets.glaive import chatml, parse

    reader = JsonLines(source)
    raw = (
        reader.scan()
        .with_row_index("row_number")
        .select(
            pl.col("row_number").cast(pl.Int64),
            "system",
            "chat",
            source_error=pl.lit(None, pl.String),
            source_text=pl.lit(None, pl.String),
        )
    )
    records = folder / "processed_records.parquet"
    marks = [("start", time.perf_counter())]
    counts = parse.process(
        raw, records, folder / "quarantine.parquet", workers=workers, on_progress=reader.proceed
    )
    marks.append(("process", time.perf_counter()))
    processed = pl.scan_parquet(records)
    for name, lines in (
        ("chatml", chatml.chatml_lines(processed)),
        ("tool_messages", chatml.tool_message_lines(processed)),
    ):
        lines.sink_csv(folder / f"{name}.jsonl", include_header=False, quote_style="never")
        marks.append((name, time.perf_counter()))
    spans = (f"{name} {end - start:.2f} s" for (_, start), (name, end) in itertools.pairwise(marks))
    print(f"  {counts}", f"  {', '.join(spans)}", sep="\n", file=sys.stderr)


class JsonLines:
    """Scans JSON lines by chunks, a bounded number of rows ahead of what is done.

    ``scan_ndjson`` would map the whole file, whose pages then count as memory of the process.
    """

    CHUNK_BYTES = 4 << 20
    ROWS_AHEAD = 16_384

    def __init__(self, source: Path) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._read = self._done = 0

    def scan(self) -> pl.LazyFrame:
        import polars as pl
        from polars.io.plugins import register_io_source

        schema = {"system": pl.String, "chat": pl.String}

        def chunks(*_: object) -> Iterator[pl.DataFrame]:
            with self._source.open("rb") as lines:
                while chunk := lines.read(self.CHUNK_BYTES):
                    frame = pl.read_ndjson(chunk + lines.readline(), schema=schema)
                    with self._changed:
                        self._changed.wait_for(lambda: self._read - self._done < self.ROWS_AHEAD)
                        self._read += len(frame)
                    yield frame

        return register_io_source(chunks, schema=schema)

    def proceed(self, rows: int) -> None:
        with self._changed:
            self._done = rows
            self._changed.notify()


# --- measuring ----------------------------------------------------------------


def measure(side: str, source: Path, workers: int | None) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak bytes of a side in a process of its own."""
    import psutil

    with tempfile.TemporaryDirectory(prefix="glaive-benchmark-") as folder:
        command = [sys.executable, __file__, "--side", side, "--jsonl", str(source), "--into", folder]
        command += ["--workers", str(workers)] if workers else []
        started = time.perf_counter()
        child = subprocess.Popen(command)
        process = psutil.Process(child.pid)
        peak, cpu = 0, {}
        while child.poll() is None:
            resident, seconds = usage(process)
            peak = max(peak, resident)
            cpu.update(seconds)
            time.sleep(0.02)
        wall = time.perf_counter() - started
        if child.returncode:
            raise SystemExit(f"{side} failed with exit status {child.returncode}")
        return wall, sum(cpu.values()), peak


def usage(process: Any) -> tuple[int, dict[int, float]]:
    """Resident bytes of a process and all below it, and CPU seconds of each."""
    import psutil

    total, seconds = 0, {}
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
            seconds[member.pid] = sum(member.cpu_times()[:2])
    except psutil.Error:
        pass
    return total, seconds


def compare(
    source: Path, rows: int, workers: int | None, repeat: int, sides: tuple[str, ...] = SIDES
) -> None:
    best: dict[str, tuple[float, float, float]] = {}
    for _ in range(repeat):
        for side in sides:
            figures = measure(side, source, workers)
            print(describe(side, rows, figures), flush=True)
            best[side] = tuple(map(min, best.get(side, figures), figures))  # type: ignore[assignment]
    for side, figures in best.items():
        print(describe(f"best {side}", rows, figures))
    our_wall, our_cpu, our_peak = best["ours"]
    if "baseline" in best:
        wall, cpu, _ = best["baseline"]
        print(f"ratio: {our_wall / wall:.3f} wall time vs baseline")
        print(f"ratio: {our_cpu / cpu:.3f} CPU time vs baseline")
    print(f"ratio: {our_peak / 2**30:.3f} peak memory vs 1 GiB")


def describe(side: str, rows: int, figures: tuple[float, float, float]) -> str:
    wall, cpu, peak = figures
    return (
        f"{side}: {rows / wall:,.0f} rows/s, {wall:.2f} s wall, {cpu:.2f} s CPU, {peak / 2**20:,.0f} MiB peak"
    )


# --- fuzzing ------------------------------------------------------------------

PIECES = (
    "<functioncall>", "<|endoftext|>", "\n\n\nASSISTANT:", "\n\n\nUSER:", "\n\n\nFUNCTION RESPONSE:", "\nASSISTANT:",
    '{"name": "', '", "arguments": \'', "'}", "}", "{", "[", "]", '"', "'", "\\", "\\'", "\n", ",", ":", "null",
    "Infinity", "AI to= f: {", "<function_call>", '"parameters": ', "\ud7ff", "\x00", "123456789012345678901", "1e999",
)  # fmt: skip


FUZZ_BATCH = 1_000


def fuzz(rows: int, seed: int) -> None:
    """Mutates generated rows; whatever comes out must be parsed, in bounded time, into columns that are JSON."""
    import orjson
    import polars as pl

    from automend_assets.datasets.glaive import parse, sample

    rng = random.Random(seed)  # noqa: S311
    slowest, started, done, kept, usable = 0.0, time.perf_counter(), 0, 0, 0
    schema = {"system": pl.String, "chat": pl.String}
    rows_left = mutants(sample.generate(rows, seed=seed), rng)
    while batch := list(itertools.islice(rows_left, FUZZ_BATCH)):
        raw = pl.DataFrame(batch, schema=schema, orient="row").with_columns(
            row_number=pl.int_range(pl.len(), dtype=pl.Int64),
            source_error=pl.lit(None, pl.String),
            source_text=pl.lit(None, pl.String),
        )
        begun = time.process_time()
        processed, quarantine = parse.parse_batch(raw)
        slowest = max(slowest, time.process_time() - begun)
        refused = quarantine.filter(stage="processed_records")
        if len(processed) + len(refused) != len(batch):
            raise AssertionError(f"{len(batch)} rows in, {len(processed)} + {len(refused)} out")
        for column in ("function_calls", "conversation", "workflow", "call_errors", "function_signatures"):
            for text in processed[column]:
                orjson.loads(text)
        done, kept = done + len(batch), kept + len(processed)
        usable += processed["quarantine_reason"].null_count()
        if done % 100_000 < FUZZ_BATCH:
            print(
                f"{done:,} rows, slowest batch {slowest:.2f} CPU s, {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    print(
        f"{done:,} mutated rows without an exception: {kept:,} processed, {usable:,} of them usable; "
        f"slowest {FUZZ_BATCH:,} rows {slowest:.2f} CPU s"
    )


def mutants(rows: Iterator[Any], rng: random.Random) -> Iterator[tuple[str, str]]:
    for row in rows:
        system, chat = row.system, row.chat
        for _ in range(rng.randint(1, 6)):
            if rng.random() < 0.25:
                system = mutate(system, rng)
            else:
                chat = mutate(chat, rng)
        yield system, chat


def mutate(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text) + 1)
    end = min(len(text), start + rng.choice((0, 1, 1, 2, 10, 100)))
    kind = rng.randrange(4)
    if kind == 0:
        return text[:start] + text[end:]
    if kind == 1:
        return text[:start] + rng.choice(PIECES) + text[end:]
    if kind == 2:
        return text[:start] + text[start:end] * rng.randint(2, 5) + text[end:]
    return text[:start] + rng.choice(PIECES) * rng.choice((1, 2, 70)) + text[start:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--jsonl", type=Path, help="measure on this file in place of generated rows")
    parser.add_argument("--workers", type=int, help="processes that parse (default: what process() chooses)")
    parser.add_argument(
        "--repeat", type=int, default=1, help="measure so many times, report the best of each"
    )
    parser.add_argument("--only", choices=("ours",), help="measure this side alone, for many rows")
    parser.add_argument("--fuzz", type=int, metavar="N", help="parse N mutated rows instead")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sides = (options.only,) if options.only else SIDES
    if options.fuzz:
        fuzz(options.fuzz, options.seed)
    elif options.side == "baseline":
        baseline(options.jsonl, options.into)
    elif options.side == "ours":
        ours(options.jsonl, options.into, options.workers)
    elif options.jsonl:
        with options.jsonl.open("rb") as lines:
            rows = sum(1 for _ in lines)
        compare(options.jsonl, rows, options.workers, options.repeat, sides)
    else:
        from automend_assets.datasets.glaive import sample

        with tempfile.TemporaryDirectory(prefix="glaive-benchmark-") as folder:
            source = Path(folder) / "rows.jsonl"
            sample.write_json_lines(source, options.rows, options.seed)
            compare(source, options.rows, options.workers, options.repeat, sides)


if __name__ == "__main__":
    main()
