"""Privacy: speed on real code and YAML beside datatrove's PII formatter, and recall and precision on labelled texts.

    python benchmarks/privacy.py [--files N] [--engine hyperscan|re2] [--realdata FOLDER]
    python benchmarks/privacy.py --recall [--write docs/privacy.md]

Speed is MB per CPU second of one process, both sides in the same run on the same texts. Ours finds personal data and
secrets by all rules; datatrove's formatter finds and replaces e-mail and IPv4 addresses.

Recall is measured on texts that other tools publish with labels. `not_secret` there means "not for this rule": such a
text may hold the secret of another rule. Two counts are given: *touched* has any secret found in it; *wrong* leaves out
those in which the found value is labelled a secret elsewhere, or the rule that found it is of another provider than the
rule that the text was written against. No value is ever printed.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from automend_assets.privacy.replacement import redact
from automend_assets.privacy.rules import RULES, SECRET_KINDS
from automend_assets.privacy.scanner import Scanner

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"
LANGUAGES = ("python", "java", "cpp", "javascript")
BATCH = 512
AIM = 60
LABELLED = ("gitleaks_fixtures", "noseyparker_examples", "detect_secrets_cases")
PERSONAL = {
    "EMAIL_ADDRESS": ("email", 0.98),
    "IP_ADDRESS": ("ip_address", 0.98),
    "US_SSN": ("ssn", 0.98),
    "IBAN_CODE": ("iban", 0.98),
    "CREDIT_CARD": ("card", 0.85),
    "PHONE_NUMBER": ("phone", 0.9),
}
# Rules of the fixtures that are about no provider: whatever is found there is wrong.
GENERIC_FIXTURES = re.compile(
    r"generic|curl|private-key|sidekiq|http|netrc|odbc|basic_auth|jwt|pwhash|ip_public"
)
BEGIN, END = "<!-- measured: benchmarks/privacy.py --recall --write -->", "<!-- end of measured -->"


# --- speed ----------------------------------------------------------------------------------------


def real_texts(realdata: Path, files: int | None) -> dict[str, pl.Series]:
    """Contents of real source files by language, and of YAML files; the first `files` of each."""
    texts = {
        language: pl.read_parquet(realdata / "code" / language / "files.parquet", columns=["content"])[
            "content"
        ]
        for language in LANGUAGES
    }
    shards = realdata / "hub" / "datasets" / "bigcode" / "the-stack-dedup" / "data" / "yaml" / "*.parquet"
    texts["yaml"] = pl.read_parquet(shards, columns=["content"])["content"]
    return {name: series if files is None else series.head(files) for name, series in texts.items()}


def batches(texts: pl.Series) -> Iterator[pl.Series]:
    for start in range(0, len(texts), BATCH):
        yield texts.slice(start, BATCH)


def cpu_seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def datatrove_formatter() -> Callable[[str], str]:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter: Callable[[str], str] = PIIFormatter().format
    return formatter


def compare_speed(realdata: Path, files: int | None, engine: str) -> None:
    scanner = Scanner(engine=engine)  # type: ignore[arg-type]
    formatter = datatrove_formatter()
    total: Counter[str] = Counter()
    print(f"engine {scanner.engine}, {len(RULES)} rules; MB per CPU second")
    print(
        f"{'':12}{'MB':>8}{'files':>8}{'ours: scan':>12}{'redact':>9}{'datatrove':>11}{'findings':>10}{'per 1,000':>11}"
    )
    for name, texts in real_texts(realdata, files).items():
        megabytes = texts.str.len_bytes().sum() / 1e6
        found = 0

        def scan(texts: pl.Series = texts) -> None:
            nonlocal found
            found = sum(len(scanner.scan(batch)) for batch in batches(texts))

        def replace_all(texts: pl.Series = texts) -> None:
            for batch in batches(texts):
                redact(batch, scanner)

        def theirs(texts: pl.Series = texts) -> None:
            for text in texts:
                formatter(text)

        spent = {
            "ours": cpu_seconds(scan),
            "redact": cpu_seconds(replace_all),
            "datatrove": cpu_seconds(theirs),
        }
        print(
            f"{name:12}{megabytes:8.1f}{len(texts):8}{megabytes / spent['ours']:12.1f}"
            f"{megabytes / spent['redact']:9.1f}{megabytes / spent['datatrove']:11.1f}{found:10}"
            f"{1000 * found / len(texts):11.1f}"
        )
        total.update({**spent, "megabytes": megabytes})
    speed = {side: total["megabytes"] / total[side] for side in ("ours", "redact", "datatrove")}
    print(f"all: scan {speed['ours']:.1f}, redact {speed['redact']:.1f}, datatrove {speed['datatrove']:.1f}")
    print(
        f"ratio: {speed['ours'] / speed['datatrove']:.2f} times datatrove's PII formatter, MB per CPU second"
    )
    print(f"ratio: {speed['ours'] / AIM:.2f} times the aim of {AIM} MB per CPU second, scan")
    print(f"ratio: {speed['redact'] / AIM:.2f} times the aim of {AIM} MB per CPU second, scan and redact")


# --- recall ---------------------------------------------------------------------------------------


class Labelled:
    """Counts on the secret fixtures of one tool, or of all."""

    def __init__(self) -> None:
        self.secrets = self.found = self.others = self.touched = self.wrong = 0

    def precision(self, wrong: int) -> float:
        return self.found / max(1, self.found + wrong)

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.secrets} | {self.found} | {self.found / self.secrets:.3f} "
            f"| {self.others} | {self.touched} "
            f"| {self.precision(self.touched):.3f} | {self.wrong} | {self.precision(self.wrong):.3f} |"
        )


def words(name: str) -> set[str]:
    common = {
        "np",
        "token",
        "api",
        "key",
        "access",
        "secret",
        "password",
        "client",
        "personal",
        "service",
        "account",
    }
    return {word for word in re.split(r"[^a-z]+", name.lower()) if len(word) > 2} - common


def measure_secrets(
    realdata: Path, scanner: Scanner
) -> tuple[dict[str, Labelled], dict[str, Counter[str]], Counter[str]]:
    """Counts by tool and of all ("all"); by our rule, secrets and others with a finding; misses by the tools' rules."""
    frames = {
        name: pl.read_parquet(realdata / "secrets" / f"{name}.parquet").rename(
            {"plugin": "rule_id"}, strict=False
        )
        for name in LABELLED
    }
    known = [text for frame in frames.values() for text in frame.filter(pl.col("label") == "secret")["text"]]
    counts = {name: Labelled() for name in (*LABELLED, "all")}
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    missed: Counter[str] = Counter()
    for name, frame in frames.items():
        by_row = defaultdict(list)
        for finding in scanner.scan(frame["text"]).iter_rows(named=True):
            by_row[finding["row"]].append(finding)
        for row, (fixture, label, text) in enumerate(frame.select("rule_id", "label", "text").iter_rows()):
            kinds = SECRET_KINDS | {"ip_address"} if fixture == "ip_public" else SECRET_KINDS
            findings = [finding for finding in by_row[row] if finding["kind"] in kinds]
            wrong = [finding for finding in findings if is_wrong(finding, fixture, text, known)]
            for count in (counts[name], counts["all"]):
                count.secrets += label == "secret"
                count.others += label != "secret"
                count.found += label == "secret" and bool(findings)
                count.touched += label != "secret" and bool(findings)
                count.wrong += label != "secret" and bool(wrong)
            if label == "secret" and not findings:
                missed[f"{name.partition('_')[0]} {fixture}"] += 1
            for rule in {finding["rule"] for finding in findings}:
                rules[rule]["secrets" if label == "secret" else "touched"] += 1
    return counts, rules, missed


def is_wrong(finding: dict[str, Any], fixture: str, text: str, known: list[str]) -> bool:
    value = text[finding["start"] : finding["end"]]
    if any(value in other for other in known):
        return False
    return GENERIC_FIXTURES.search(fixture) is not None or bool(words(finding["rule"]) & words(fixture))


def measure_personal(realdata: Path, scanner: Scanner) -> tuple[dict[str, Counter[str]], int, int]:
    """By label: spans, found (any overlap), exact (the finding covers the span); texts without such data, touched."""
    frame = pl.read_parquet(realdata / "secrets" / "presidio_synthetic.parquet")
    by_row = defaultdict(list)
    for finding in scanner.scan(frame["text"]).iter_rows(named=True):
        by_row[finding["row"]].append(finding)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    without = touched = 0
    for row, spans in enumerate(frame["spans"]):
        wanted = [span for span in json.loads(spans) if span["entity_type"] in PERSONAL]
        without += not wanted
        touched += not wanted and bool(by_row[row])
        for span in wanted:
            kind = PERSONAL[span["entity_type"]][0]
            start, end = span["start_position"], span["end_position"]
            mine = [found for found in by_row[row] if found["start"] < end and found["end"] > start]
            counts[span["entity_type"]].update(
                spans=1,
                found=bool(mine),
                exact=any(f["kind"] == kind and f["start"] <= start and f["end"] >= end for f in mine),
            )
    return counts, without, touched


def findings_per_file(realdata: Path, scanner: Scanner) -> tuple[Counter[str], Counter[str], int, int]:
    """Findings by rule in real code and in real YAML, and the numbers of files."""
    texts = real_texts(realdata, None)
    yaml = texts.pop("yaml")
    counts = []
    for group in (list(texts.values()), [yaml]):
        count: Counter[str] = Counter()
        for series in group:
            for batch in batches(series):
                count.update(scanner.scan(batch)["rule"])
        counts.append(count)
    return counts[0], counts[1], sum(map(len, texts.values())), len(yaml)


def recall_tables(realdata: Path) -> tuple[str, list[str]]:
    """The measurements as Markdown, and the lines that compare them with their aims."""
    scanner = Scanner()
    counts, rules, missed = measure_secrets(realdata, scanner)
    personal, without, touched = measure_personal(realdata, scanner)
    code, yaml, code_files, yaml_files = findings_per_file(realdata, scanner)
    everything = counts["all"]
    lines = [
        "| labelled texts of | secrets | found | recall | not secrets | touched | precision | wrong | precision |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(counts[name].row(name.replace("_", " ")) for name in (*LABELLED, "all")),
        "",
        "Missed, by the rule of the tool whose text it is: "
        + ", ".join(f"{name} ({number})" if number > 1 else name for name, number in sorted(missed.items()))
        + ".",
        "",
        "| personal data | spans | found | covered | recall | aim |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {kind} | {personal[label]['spans']} | {personal[label]['found']} | {personal[label]['exact']} "
            f"| {personal[label]['exact'] / personal[label]['spans']:.3f} | {aim} |"
            for label, (kind, aim) in PERSONAL.items()
        ),
        "",
        f"Of {without} texts without any of these, {touched} are touched ({touched / without:.1%}).",
        "",
        f"Findings in the texts above, in {code_files:,} real source files and in {yaml_files:,} real YAML files:",
        "",
        "| rule | kind | labelled secrets | labelled others | code, per 1,000 files | YAML, per 1,000 files |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {rule.id} | {rule.kind} | {rules[rule.id]['secrets']} | {rules[rule.id]['touched']} "
            f"| {1000 * code[rule.id] / code_files:.2f} | {1000 * yaml[rule.id] / yaml_files:.2f} |"
            for rule in sorted(RULES, key=lambda rule: rule.id)
            if rules[rule.id] or code[rule.id] or yaml[rule.id]
        ),
    ]
    ratios = [
        f"ratio: {everything.found / everything.secrets:.3f} recall on labelled secrets vs 0.85",
        f"ratio: {everything.precision(everything.wrong):.3f} precision on labelled non-secrets vs 0.95",
        f"ratio: {everything.precision(everything.touched):.3f} precision, counting other rules' secrets as wrong",
        *(
            f"ratio: {personal[label]['exact'] / personal[label]['spans']:.3f} recall of {kind} vs {aim}"
            for label, (kind, aim) in PERSONAL.items()
        ),
        f"ratio: {touched / without:.4f} of texts without personal data touched vs 0.02",
    ]
    return "\n".join(lines), ratios


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--realdata", type=Path, default=REALDATA)
    arguments.add_argument("--files", type=int, help="files of each kind; all by default")
    arguments.add_argument("--engine", choices=["auto", "hyperscan", "re2"], default="auto")
    arguments.add_argument("--recall", action="store_true", help="measure recall and precision, not speed")
    arguments.add_argument(
        "--write", type=Path, help="with --recall: put the tables between the marks of this document"
    )
    given = arguments.parse_args()
    if not given.recall:
        compare_speed(given.realdata, given.files, given.engine)
        return
    tables, ratios = recall_tables(given.realdata)
    print(tables)
    print("\n".join(ratios))
    if given.write is not None:
        document = given.write.read_text(encoding="utf-8")
        before, _, rest = document.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            raise SystemExit(
                f"{given.write} lacks the lines {BEGIN!r} and {END!r}. Add them where the tables belong."
            )
        given.write.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
