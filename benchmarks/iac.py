"""Manifests from raw files to training records, beside a plain single-process baseline on PyYAML.

    python benchmarks/iac.py [--rows 10000] [--parquet FILE ...] [--workers N] [--repeat N]

Both sides run as child processes in the same run, one after the other, and their time counts from the start of the
interpreter. A first run of each on few rows is not counted: it leaves what an installation has, compiled bytecode and
the scanner's compiled rules. Ours does what production does: filters, YAML read in libyaml, redaction with positions,
the structure compared and scanned again, facts, schemas of Kubernetes, prompts, records checked, near duplicates
dropped, Parquet, both chat forms. The baseline does what the original did, row by row with `re` and PyYAML's
SafeLoader: filters, redaction, parsed again, prompt by file name, one chat form; it keeps one-document files only.

Rows are the real ones of ../shared/realdata where they are, repeated as often as needed with a comment that makes
each file another; else, or with --generated, those of the bundled sample's generator. Peak memory is the sum of the
resident sets of a side's processes, which counts shared pages more than once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = 10_000
FIRST_ROWS = 500
REAL = Path(__file__).resolve().parents[2] / "shared/realdata/hub/datasets/bigcode/the-stack-dedup/data/yaml"

# --- baseline -----------------------------------------------------------------

LICENCES = {
    "mit",
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "isc",
    "cc0-1.0",
    "unlicense",
    "wtfpl",
    "0bsd",
}
KEYWORDS = (
    "nvidia.com/gpu", "amd.com/gpu", "accelerator", "gpu", "kserve", "seldon", "inferenceservice", "servingruntime",
    "seldondeployment", "predictor", "storageuri", "kubeflow", "mlflow", "inference", "serving", "pipeline", "workflow",
)  # fmt: skip
REDACTIONS = (
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "0.0.0.0"),  # noqa: S104
    (re.compile(r"sk-[a-zA-Z0-9]{20,}"), "sk-REDACTED"),
    (re.compile(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}"), "user@example.com"),
    (re.compile(r"(?i)(password|token|api_key|secret)\s*:\s*\S+"), r"\1: REDACTED"),
)
PROMPTS = (
    ("deploy", "Deploy the workload: {}."),
    ("service", "Create the service: {}."),
    ("inference", "Deploy the inference service: {}."),
    ("gpu", "Apply the GPU serving configuration: {}."),
    ("train", "Launch the training workload: {}."),
    ("pipeline", "Set up the pipeline: {}."),
    ("ingress", "Configure the ingress: {}."),
    ("secret", "Create the secret: {}."),
    ("config", "Apply the configuration: {}."),
)


def baseline(source: Path, folder: Path) -> None:
    """Reads Parquet, writes training_records.jsonl."""
    import pyarrow.parquet as pq
    import yaml

    written = 0
    with (folder / "training_records.jsonl").open("w", encoding="utf-8") as records:
        for batch in pq.ParquetFile(source).iter_batches(batch_size=500):
            for row in batch.to_pylist():
                record = baseline_record(row, yaml)
                if record is not None:
                    records.write(json.dumps(record, ensure_ascii=False) + "\n")
                    written += 1
    print(f"  {written:,} records", file=sys.stderr)


def baseline_record(row: dict[str, Any], yaml: Any) -> dict[str, Any] | None:
    content = row["content"]
    if not content or not content.strip() or not 200 <= len(content.encode()) <= 200_000:
        return None
    if sum(map(str.isalnum, content)) / len(content) < 0.25 or row["ext"] not in ("yaml", "yml"):
        return None
    if not all(field in content for field in ("apiVersion", "kind:", "metadata:")):
        return None
    if not baseline_parses(content, yaml):
        return None
    if not any(name.lower() in LICENCES for name in row["licenses"]):
        return None
    lowered = content.lower()
    if not any(word in lowered for word in KEYWORDS):
        return None
    for pattern, stand_in in REDACTIONS:
        content = pattern.sub(stand_in, content)
    if not baseline_parses(content, yaml):
        return None
    name = re.sub(r"[-_.]", " ", Path(row["path"]).stem).lower()
    prompt = next((text for word, text in PROMPTS if word in name), "Apply the Kubernetes manifest: {}.")
    reply = json.dumps({"tool": "apply_manifest", "params": {"manifest_content": content}})
    return {
        "messages": [
            {"role": "user", "content": prompt.format(name)},
            {"role": "assistant", "content": reply},
        ],
        "hexsha": row["hexsha"],
        "path": row["path"],
        "size": len(content),
        "licenses": row["licenses"],
    }


def baseline_parses(content: str, yaml: Any) -> bool:
    try:
        return isinstance(yaml.safe_load(content), dict)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return False


# --- ours ---------------------------------------------------------------------


def ours(source: Path, folder: Path, workers: int | None) -> None:
    """Reads Parquet, writes manifests.parquet, quarantine.parquet, training_records.jsonl, tool_messages.jsonl."""
    import polars as pl

    from automend_assets.contracts.balancing import sample_weights
    from automend_assets.datasets.iac.chatml import tool_message_lines, training_record_lines
    from automend_assets.datasets.iac.contract import CONTRACT
    from automend_assets.datasets.iac.options import IacOptions
    from automend_assets.datasets.iac.process import process

    marks = [("imports", time.perf_counter())]
    manifests = folder / "manifests.parquet"
    counts = process(
        pl.scan_parquet(source),
        manifests,
        folder / "quarantine.parquet",
        options=IacOptions(),
        seed=42,
        workers=workers,
    )
    marks.append(("process", time.perf_counter()))
    kept = pl.scan_parquet(manifests)
    weights = sample_weights(kept, CONTRACT.slices, CONTRACT.usable).rename(
        {"sample_weight": "sampling_weight"}
    )
    for name, lines in (
        ("training_records", training_record_lines(kept, weights)),
        ("tool_messages", tool_message_lines(kept)),
    ):
        lines.sink_csv(folder / f"{name}.jsonl", include_header=False, quote_style="never")
        marks.append((name, time.perf_counter()))
    spans = (f"{name} {end - start:.2f} s" for (_, start), (name, end) in itertools.pairwise(marks))
    print(
        f"  {counts.manifests:,} records of {counts.rows_in:,} rows",
        f"  {', '.join(spans)}",
        sep="\n",
        file=sys.stderr,
    )


# --- rows ---------------------------------------------------------------------


def write_rows(path: Path, rows: int, sources: list[Path]) -> None:
    """The raw frame of `rows` rows as `source.read_source` writes it, each with a content of its own."""
    import polars as pl

    columns = {
        "hexsha": "hexsha",
        "ext": "ext",
        "repo": "max_stars_repo_name",
        "path": "max_stars_repo_path",
        "licenses": "max_stars_repo_licenses",
        "alphanum_fraction": "alphanum_fraction",
        "content": "content",
    }
    once = pl.concat([pl.read_parquet(source, columns=list(columns.values())) for source in sources])
    once = once.select(pl.col(theirs).alias(ours) for ours, theirs in columns.items()).unique(
        "hexsha", maintain_order=True
    )
    repeated = pl.concat([once] * (rows // len(once) + 1)).head(rows).with_row_index("row_number")
    again = pl.col("row_number") >= len(once)
    comment = pl.format("# copy {}\n", "row_number")
    repeated.with_columns(
        pl.col("row_number").cast(pl.Int64),
        hexsha=pl.when(again).then(pl.format("{}-{}", "hexsha", "row_number")).otherwise("hexsha"),
        content=pl.when(again).then(comment + pl.col("content")).otherwise("content"),
        source_error=pl.lit(None, pl.String),
        source_text=pl.lit(None, pl.String),
    ).write_parquet(path, row_group_size=2_048)


# --- measuring ----------------------------------------------------------------


def measure(side: str, source: Path, workers: int | None, bytecode: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak bytes of a side in a process of its own; modules are compiled into
    `bytecode`."""
    import psutil

    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="iac-benchmark-") as folder:
        command = [sys.executable, __file__, "--side", side, "--parquet", str(source), "--into", folder]
        command += ["--workers", str(workers)] if workers else []
        started = time.perf_counter()
        child = subprocess.Popen(command, env=environment)
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


def compare(source: Path, first_rows: Path, rows: int, workers: int | None, repeat: int) -> None:
    best: dict[str, tuple[float, float, float]] = {}
    bytecode = first_rows.with_name("bytecode")
    for side in ("baseline", "ours"):
        measure(side, first_rows, workers, bytecode)
    for _ in range(repeat):
        for side in ("baseline", "ours"):
            figures = measure(side, source, workers, bytecode)
            print(describe(side, rows, figures), flush=True)
            best[side] = tuple(map(min, best.get(side, figures), figures))  # type: ignore[assignment]
    for side, figures in best.items():
        print(describe(f"best {side}", rows, figures))
    (wall, cpu, _), (our_wall, our_cpu, our_peak) = best["baseline"], best["ours"]
    print(f"ratio: {our_wall / wall:.3f} wall time vs baseline")
    print(f"ratio: {our_cpu / cpu:.3f} CPU time vs baseline")
    print(f"ratio: {our_peak / 2**30:.3f} peak memory vs 1 GiB")


def describe(side: str, rows: int, figures: tuple[float, float, float]) -> str:
    wall, cpu, peak = figures
    return (
        f"{side}: {rows / wall:,.0f} rows/s, {wall:.2f} s wall, {cpu:.2f} s CPU, {peak / 2**20:,.0f} MiB peak"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--parquet", type=Path, nargs="+", help="shards to take the rows from")
    parser.add_argument("--generated", action="store_true", help="take generated rows, not real ones")
    parser.add_argument("--workers", type=int, help="processes that filter (default: what process() chooses)")
    parser.add_argument(
        "--repeat", type=int, default=1, help="measure so many times, report the best of each"
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--side", choices=("baseline", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "baseline":
        baseline(options.parquet[0], options.into)
    elif options.side == "ours":
        ours(options.parquet[0], options.into, options.workers)
    else:
        with tempfile.TemporaryDirectory(prefix="iac-benchmark-") as folder:
            sources = options.parquet or sorted(REAL.glob("*.parquet"))
            if options.generated or not sources:
                from automend_assets.datasets.iac import sample

                sources = [Path(folder) / "generated.parquet"]
                sample.write_parquet(sources[0], options.rows, options.seed)
            rows, first_rows = Path(folder) / "rows.parquet", Path(folder) / "first_rows.parquet"
            write_rows(rows, options.rows, sources)
            write_rows(first_rows, FIRST_ROWS, sources)
            compare(rows, first_rows, options.rows, options.workers, options.repeat)


if __name__ == "__main__":
    main()
