"""What Dagster costs: the whole Glaive graph by its command, beside the functions that the graph calls.

    .venv/bin/python benchmarks/overhead.py [--rows 5000] [--rounds 3]

Both sides are fresh processes that read the same generated rows and write the same files, which is checked. One side
is `dagster asset materialize` with all assets and checks of the group. The other is a script that calls the pure
functions one after the other (read, parse, chat forms, contract, bias, plot, balancing, summary, card, DVC pins); it
imports dagster once, as the reader of the sources does. The sides take turns and the median of each counts. Wall time
is what somebody waits for; CPU seconds, children included, are steadier on a machine that does other work too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

DATASET, VERSION = "glaive", "v0001"
BIN = Path(sys.executable).parent
MATERIALIZE = ("dagster", "asset", "materialize", "-m", "automend_assets.definitions")
SELECTION = ("--select", f"group:{DATASET}", "--partition", VERSION)
COMPARED = (
    *("raw_sample.parquet", "processed_records.parquet", "quarantine.parquet"),
    *("chatml.jsonl", "tool_messages.jsonl", "balanced_chatml.jsonl"),
    *("bias_report.json", "run_summary.json", "release.json", "README.md"),
)


class Cost(NamedTuple):
    """What a process took, its children included, in seconds."""

    wall: float
    cpu: float


def pure(store_url: str, ledger_url: str) -> None:
    """Make every artifact of the version by the functions that its assets call."""
    import polars as pl

    from automend_assets.connectors.hub import HubResource
    from automend_assets.contracts.balancing import balance_plan, repeat_rows, sample_weights
    from automend_assets.contracts.bias import bias_report
    from automend_assets.contracts.bias_plot import bias_plot
    from automend_assets.contracts.contract import expected_rows
    from automend_assets.contracts.evaluation import evaluate
    from automend_assets.datasets.glaive.card import CARD
    from automend_assets.datasets.glaive.chatml import chatml_lines, tool_message_lines
    from automend_assets.datasets.glaive.contract import CONTRACT
    from automend_assets.datasets.glaive.parse import process
    from automend_assets.datasets.glaive.source import read_source
    from automend_assets.storage.io_managers import write_lines
    from automend_assets.storage.quarantine import count_by_reason, reconcile_rows
    from automend_assets.storage.store import Store
    from automend_assets.versions.cutting import load_manifest
    from automend_assets.versions.ledger import Ledger
    from automend_assets.versions.pins import find_project, pin, write_metrics
    from automend_assets.versions.release import (
        Reports,
        dataset_card,
        describe_artifacts,
        release_manifest,
    )

    store = Store(store_url)
    manifest = load_manifest(Ledger(ledger_url), store, DATASET, VERSION)
    folder = Path(store.url(DATASET, VERSION, "manifest.json")).parent

    def write_json(name: str, value: object) -> None:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        (folder / name).write_text(f"{text}\n", encoding="utf-8")

    raw, processed, quarantine = (folder / name for name in COMPARED[:3])
    read_source(manifest, raw, hub=HubResource())
    process(pl.scan_parquet(raw), processed, quarantine)
    frame, refused = pl.scan_parquet(processed), pl.scan_parquet(quarantine)
    account = reconcile_rows(pl.scan_parquet(raw), frame, refused.filter(stage="processed_records"))
    if not account.ok:
        raise SystemExit(account.explain())

    weights = sample_weights(frame, CONTRACT.slices, CONTRACT.usable)
    write_lines(chatml_lines(frame, weights), folder / "chatml.jsonl")
    write_lines(tool_message_lines(frame), folder / "tool_messages.jsonl")
    options = {
        "seed": manifest.seed,
        "target_share": manifest.options["balance_target_share"],
        "max_copies": manifest.options["balance_max_copies"],
    }
    copies = balance_plan(frame, CONTRACT.slices, CONTRACT.usable, **options)
    write_lines(chatml_lines(repeat_rows(frame, copies)), folder / "balanced_chatml.jsonl")
    bias = bias_report(CONTRACT, frame, **options)
    bias_plot(bias)
    write_json("bias_report.json", bias)

    artifacts = describe_artifacts(store, DATASET, VERSION, COMPARED[:7])
    rows = {artifact.name: artifact.rows for artifact in artifacts}
    checks = evaluate(CONTRACT, frame, expected_rows(manifest.rows, rows["raw_sample"] or 0)).as_json()
    quarantined = count_by_reason(refused)
    write_json(
        "run_summary.json",
        {
            "dataset": DATASET,
            "version": VERSION,
            "manifest_sha256": manifest.sha256,
            "source": manifest.source.model_dump(mode="json"),
            "rows": rows,
            "quarantined": quarantined,
            "checks": checks,
        },
    )

    artifacts += describe_artifacts(store, DATASET, VERSION, ["run_summary.json"])
    reports = Reports(quarantined=quarantined, checks=checks, bias=bias)
    content = release_manifest(VERSION, manifest, CONTRACT, artifacts, reports)
    card = dataset_card(VERSION, manifest, CONTRACT, CARD, artifacts, reports)
    (folder / "README.md").write_text(card, encoding="utf-8")
    project = find_project(store, Path(store_url))
    write_metrics(project, DATASET, VERSION, content["metrics"])
    pin(store, DATASET, VERSION, ["README.md", "manifest.json", *COMPARED[:8]], project)
    write_json("release.json", content)


def environment(place: Path) -> dict[str, str]:
    """Variables with which commands work in the folder `place`, and nowhere else."""
    neutral = {name: "" for name in os.environ if name.startswith(("AUTOMEND_", "SLACK_"))}
    return {
        **os.environ,
        **neutral,
        "AUTOMEND_STORE": str(place / "store"),
        "AUTOMEND_LEDGER": f"sqlite:///{place / 'ledger.sqlite'}",
        "DAGSTER_HOME": str(place / "dagster_home"),
    }


def cost(command: tuple[str, ...], place: Path) -> Cost:
    """Run a command to its end and measure it. Its output is shown only when it fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment(place), cwd=place, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu)


def cut(place: Path, rows: Path) -> Path:
    """Cut the version of all `rows` in `place`; return `place`."""
    place.mkdir()
    source = ("--source", "file", "--path", str(rows), "--rows", "all")
    cost((str(BIN / "automend"), "cut", DATASET, *source), place)
    return place


def artifacts(place: Path) -> list[bytes]:
    """The content of every file that both sides write."""
    return [(place / "store" / DATASET / VERSION / name).read_bytes() for name in COMPARED]


def main() -> None:
    """Measure, print the median of each side, end with the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pure", nargs=2, metavar=("STORE", "LEDGER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pure:
        pure(*arguments.pure)
        return

    from automend_assets.datasets.glaive.sample import write_json_lines

    sides: dict[str, list[Cost]] = {"dagster": [], "functions": [], "import": []}
    with tempfile.TemporaryDirectory(prefix="automend-overhead-") as folder:
        rows = Path(folder) / "rows.jsonl"
        write_json_lines(rows, arguments.rows)
        for number in range(arguments.rounds):
            by_dagster = cut(Path(folder) / f"dagster{number}", rows)
            by_functions = cut(Path(folder) / f"functions{number}", rows)
            where = environment(by_functions)
            sides["dagster"].append(
                cost((str(BIN / MATERIALIZE[0]), *MATERIALIZE[1:], *SELECTION), by_dagster)
            )
            sides["functions"].append(
                cost(
                    (sys.executable, __file__, "--pure", where["AUTOMEND_STORE"], where["AUTOMEND_LEDGER"]),
                    by_functions,
                )
            )
            sides["import"].append(cost((sys.executable, "-c", "import dagster"), by_functions))
            if artifacts(by_dagster) != artifacts(by_functions):
                raise SystemExit("the two sides did not write the same files")

    median = {
        name: Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
        for name, costs in sides.items()
    }
    for name, what in (
        ("dagster", f"dagster asset materialize, {arguments.rows:,} rows, 9 assets, 40 checks"),
        ("functions", "the functions alone, their imports (dagster once) included"),
        ("import", "of which import dagster"),
    ):
        print(f"{what}: {median[name].wall:.2f} s wall, {median[name].cpu:.2f} CPU s")
    for unit in Cost._fields:
        ratio = getattr(median["dagster"], unit) / getattr(median["functions"], unit)
        print(
            f"ratio: {ratio:.2f} {unit} time of the whole group vs the functions alone with one import dagster"
        )


if __name__ == "__main__":
    main()
