"""`automend`, the command line: thin wrappers around what the package does. Heavy imports stay in the commands."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from typer.core import TyperGroup

from automend_assets.settings import Settings, load_env_files, project_root

if TYPE_CHECKING:
    from automend_assets.automation.runs import RunOutcome
    from automend_assets.pipeline.dataset import Surroundings
    from automend_assets.privacy.files import ScanSummary
    from automend_assets.storage.store import Store
    from automend_assets.versions.ledger import Ledger
    from automend_assets.versions.promotions import Promotions


class _Commands(TyperGroup):
    """Shows errors that say what to do as one message; anything else is a defect and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        from pydantic import ValidationError

        from automend_assets.errors import AutomendError

        try:
            return super().invoke(ctx)
        except AutomendError as error:
            message = str(error)
        except ValidationError as error:
            if error.title != Settings.__name__:
                raise
            wrong = (f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
            message = f"{'; '.join(wrong)}. Change it in the environment, or in the .env that sets it."
        # Messages quote paths and rows, in which brackets are no markup.
        people.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
        raise typer.Exit(1)


app = typer.Typer(
    cls=_Commands,
    help="Turn public corpora and production interactions into checked, versioned training data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
# Commands print what scripts read on stdout, alone; everything for people goes to stderr.
people = Console(stderr=True, highlight=False)

DatasetName = Annotated[str, typer.Argument(help="The dataset, e.g. glaive.", metavar="DATASET")]
VersionKey = Annotated[str, typer.Argument(help="The version, e.g. v0001.", metavar="VERSION")]


@app.callback()
def _environment() -> None:
    load_env_files()


def _parse_rows(text: str) -> int:
    if text == "all":
        return 0
    if not text.isdecimal() or int(text) == 0:
        raise typer.BadParameter("expected a number above 0, or 'all'", param_hint="--rows")
    return int(text)


def _parse_options(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="--options") from None
    if not isinstance(found, dict):
        raise typer.BadParameter('expected a JSON object, such as {"key": 1}', param_hint="--options")
    return found


def _check_dataset(name: str) -> None:
    from automend_assets.definitions import discover

    known = discover()
    if name not in known:
        raise typer.BadParameter(f"there is no dataset {name!r}; there is: {', '.join(known)}")


@app.command()
def cut(
    dataset: DatasetName,
    source: Annotated[
        str,
        typer.Option(
            help="sample (bundled, offline), hub (streamed from the Hugging Face Hub), file, or log (the"
            " corrections that are in no version yet; for typos)."
        ),
    ] = "sample",
    path: Annotated[str | None, typer.Option(help="The file to read, for source 'file'.")] = None,
    repo: Annotated[str | None, typer.Option(help="Another Hub dataset in the same layout.")] = None,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit on the Hub; pinned to its commit. Default: main."),
    ] = None,
    rows: Annotated[str, typer.Option(help="Sample size, or 'all'.")] = "5000",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shuffle and of the balancing.")] = 42,
    shuffle_buffer: Annotated[
        int, typer.Option(min=1, help="Rows in memory to shuffle the stream.")
    ] = 10_000,
    options: Annotated[
        str | None,
        typer.Option(
            help="Options of the dataset as a JSON object; its page in docs/ lists them.", metavar="JSON"
        ),
    ] = None,
) -> None:
    """Cut a version: pin what goes in, number it, make it a partition. Prints the version's key, e.g. v0001."""
    from automend_assets.automation.instance import open_instance
    from automend_assets.definitions import discover
    from automend_assets.pipeline.dataset import CutRequest, SourceKind
    from automend_assets.versions.cutting import cut_version

    _check_dataset(dataset)
    if source not in SourceKind.__members__:
        raise typer.BadParameter(
            f"expected one of {', '.join(SourceKind.__members__)}", param_hint="--source"
        )
    with open_instance() as instance:
        request = CutRequest(
            source=SourceKind[source],
            path=path,
            repo=repo,
            revision=revision,
            rows=_parse_rows(rows),
            seed=seed,
            shuffle_buffer=shuffle_buffer,
            options=_parse_options(options),
        )
        with people.status(f"pinning what the source {source} holds"):
            manifest = discover()[dataset].plan(request, _surroundings())
        version = cut_version(manifest, ledger=_ledger(), store=_store(), instance=instance)
        people.print(
            f"{dataset} {version.key} is manifest {version.sha256}. To materialise it, either of:",
            soft_wrap=True,
        )
        people.print(f"  automend materialize {dataset} {version.key}")
        people.print(
            f"  DAGSTER_HOME={escape(quote(instance.root_directory))} dagster asset materialize"
            f" -m automend_assets.definitions --select 'group:{dataset}' --partition {version.key}",
            soft_wrap=True,
        )
    print(version.key)


@app.command()
def versions(dataset: DatasetName) -> None:
    """List the versions of a dataset: key, when it was cut, source, rows asked for, manifest."""
    _check_dataset(dataset)
    table = Table("version", "cut at", "source", "rows", "seed", "manifest")
    found = _ledger().versions(dataset)
    if not found:
        people.print(f"{dataset} has no versions yet. Cut one with: automend cut {dataset}")
        return
    for version in found:
        manifest = version.manifest
        table.add_row(
            version.key,
            version.created_at.isoformat(timespec="seconds"),
            manifest.source.kind,
            str(manifest.rows or "all"),
            str(manifest.seed),
            version.sha256[:12],
        )
    Console().print(table)


@app.command()
def materialize(dataset: DatasetName, version: VersionKey) -> None:
    """Materialise and check every asset of one version, with progress and a summary."""
    _check_dataset(dataset)
    if not _materialize(dataset, version).success:
        raise typer.Exit(1)


@app.command()
def demo() -> None:
    """Cut a version of every dataset from the bundled samples, materialise everything, print what came out."""
    from automend_assets.automation.instance import open_instance
    from automend_assets.definitions import discover
    from automend_assets.pipeline.dataset import CutRequest
    from automend_assets.versions.cutting import cut_version

    failed = []
    for name, dataset in discover().items():
        with open_instance() as instance:
            manifest = dataset.plan(CutRequest(), _surroundings())
            version = cut_version(manifest, ledger=_ledger(), store=_store(), instance=instance)
        if not _materialize(name, version.key).success:
            failed.append(name)
    if failed:
        people.print(f"[bold red]not finished:[/] {', '.join(failed)}")
        raise typer.Exit(1)
    people.print(
        f"Next: [bold]make ui[/] opens Dagster on the result; the artifacts are under {Settings().store_url}",
        soft_wrap=True,
    )


@app.command()
def home() -> None:
    """Make Dagster's home ready and print its folder: $DAGSTER_HOME, or data/dagster_home in the project."""
    from automend_assets.automation.instance import ensure_dagster_home

    print(ensure_dagster_home())


@app.command()
def settings() -> None:
    """Show every setting, its value (secrets hidden) and what it does."""
    table = Table(*(Column(name, overflow="fold") for name in ("variable", "value", "meaning")))
    current = Settings()
    for name, field in Settings.model_fields.items():
        table.add_row(str(field.validation_alias), str(getattr(current, name)), field.description)
    Console().print(table)
    people.print(f"Read from the environment, and from .env here or in {project_root()}.", soft_wrap=True)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; there is no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with the model in memory.")] = 2,
) -> None:
    """Serve the model in use over HTTP: POST /correct, POST /interactions, GET /model, /healthz, /metrics."""
    from automend_assets.serving.run import serve as run_service

    def listening(address: str) -> None:
        people.print(f"listening on {address}", soft_wrap=True)

    run_service(host, port, workers, on_listening=listening)


models = typer.Typer(
    cls=_Commands, help="The trained models: which is in use, and changing that.", no_args_is_help=True
)
app.add_typer(models, name="models")

# The one dataset that a model is made of.
TYPOS = "typos"


@models.command("list")
def list_models() -> None:
    """List the versions with a model: what was decided on each, its recall@1, and which one is in use."""
    store, promotions = _store(), _promotions()
    in_use = promotions.in_use(TYPOS)
    table = Table(Column("version", no_wrap=True), "base", "recall@1 seen", "unseen", "decided")
    reasons = []
    for version in _ledger().versions(TYPOS):
        if not store.exists(TYPOS, version.key, "finetuned_model.zip"):
            continue
        decision = promotions.decision_on(TYPOS, version.key)
        table.add_row(
            f"[bold green]{version.key} in use[/]" if version.key == in_use else version.key,
            _shown_base(version.manifest.options),
            *_recall(store, version.key),
            decision.action.replace("_", " ") if decision else "",
        )
        if decision:
            reasons.append(f"{version.key}: {escape(decision.reason)}")
    if not table.row_count:
        people.print(f"There is no model yet. Make one with: automend cut {TYPOS}, then automend materialize")
        return
    console = Console()
    console.print(table)
    for reason in reasons:
        console.print(reason, highlight=False)
    for decision in promotions.history(TYPOS):
        if decision.action in ("promoted_by_hand", "rolled_back"):
            people.print(
                f"{decision.created_at:%Y-%m-%d %H:%M} {decision.action.replace('_', ' ')}: {decision.before or 'none'}"
                f" to {decision.in_use}",
                soft_wrap=True,
            )


@models.command("promote")
def promote_model(
    version: VersionKey,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the history.")] = "by hand",
) -> None:
    """Put the model of a version in use, whatever the gate decided. The service takes it by itself."""
    _ledger().get(TYPOS, version)
    _store().require(TYPOS, version, "finetuned_model.zip")
    decision = _promotions().promote(TYPOS, version, reason)
    people.print(f"{TYPOS} {version} is in use; before: {decision.before or 'none'}")


@models.command("rollback")
def roll_back_model(
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the history.")] = "by hand",
) -> None:
    """Put the model in use again that was before; once more goes further back."""
    decision = _promotions().rollback(TYPOS, reason)
    people.print(f"{TYPOS} {decision.in_use} is in use again; {decision.before} is not any more")


@app.command()
def evaluate(
    dataset: DatasetName,
    pairs: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="A CSV with the columns typo, corrected, domain.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CSV with the columns corrected, domain: what is looked among. Default: the corrections that the"
            " model knows, and those of the pairs.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The model's version. Default: the one in use, else the untrained."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals' bootstrap.")] = 42,
) -> None:
    """Measure a model on pairs. Prints one JSON object: in_use (embedding alone), serving, edit_distance."""
    if dataset != TYPOS:
        raise typer.BadParameter(f"only {TYPOS} has a model to evaluate", param_hint="DATASET")
    from automend_assets.datasets.typos.artifact import ModelArtifact, read_artifact
    from automend_assets.datasets.typos.comparison import evaluate_pairs
    from automend_assets.datasets.typos.encoder import character_model, encode_with
    from automend_assets.datasets.typos.texts import distinct_entries, read_entries, read_pairs

    tested = read_pairs(pairs)
    version = version or _promotions().in_use(TYPOS)
    if version is None:
        people.print("No model is in use: this is the untrained one. Make one with: automend cut typos")
        model = ModelArtifact(character_model(seed=42), [], {})
    else:
        _ledger().get(TYPOS, version)
        with _store().local_copy(TYPOS, version, "finetuned_model.zip") as file:
            model = read_artifact(file)
    known = (
        read_entries(candidates)
        if candidates
        else distinct_entries([*model.entries, *(pair.entry for pair in tested)])
    )
    measured = evaluate_pairs(tested, known, encode_with(model.model), seed=seed)
    print(json.dumps({"version": version, "candidates": len(known), **measured}, indent=2))


ParquetFile = Annotated[Path | None, typer.Option(metavar="FILE", help="A Parquet file, in place of PATHS.")]
TextColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of texts in that file.")]
TextPaths = Annotated[list[Path] | None, typer.Argument(metavar="PATHS", help="Text files and folders.")]
Engine = Annotated[
    Literal["auto", "hyperscan", "re2"],
    typer.Option(help="The findings are the same with each; hyperscan is faster."),
]


@app.command()
def scan(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the findings go, as JSON lines.")],
    paths: TextPaths = None,
    parquet: ParquetFile = None,
    column: TextColumn = None,
    engine: Engine = "auto",
) -> None:
    """Find personal data and secrets. Writes a line per finding: row, start, end, rule, kind, confidence."""
    from automend_assets.privacy.files import scan_parquet, scan_paths
    from automend_assets.privacy.scanner import Scanner

    scanner = Scanner(engine=engine)
    source = _parquet_column(paths, parquet, column)
    summary = (
        scan_paths(paths or [], out, scanner=scanner)
        if source is None
        else scan_parquet(*source, out, scanner=scanner)
    )
    _show_findings(summary, "found")


@app.command()
def redact(
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="The copy: a Parquet file, or a folder for PATHS.")
    ],
    paths: TextPaths = None,
    parquet: ParquetFile = None,
    column: TextColumn = None,
    style: Annotated[
        Literal["placeholder", "stand_in"],
        typer.Option(help="Tags such as <EMAIL_1>, or something valid of the same shape."),
    ] = "placeholder",
    engine: Engine = "auto",
) -> None:
    """Replace personal data and secrets, in a copy."""
    from automend_assets.privacy.files import redact_parquet, redact_paths
    from automend_assets.privacy.scanner import Scanner

    scanner = Scanner(engine=engine)
    source = _parquet_column(paths, parquet, column)
    summary = (
        redact_paths(paths or [], out, style=style, scanner=scanner)
        if source is None
        else redact_parquet(*source, out, style=style, scanner=scanner)
    )
    _show_findings(summary, "replaced")


@app.command()
def dedup(
    parquet: Annotated[Path, typer.Option(metavar="FILE", help="The Parquet file.")],
    column: Annotated[str, typer.Option(metavar="NAME", help="The column of texts in it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the rows that are kept go.")],
    removed: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the removals go: removed, kept, similarity, level.")
    ],
    threshold: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Jaccard similarity of word 5-grams that is a repetition."),
    ] = 0.85,
    language: Annotated[
        Literal["python", "java", "cpp", "javascript", "yaml", "prose"] | None,
        typer.Option(help="What the texts are, for normalising them."),
    ] = None,
) -> None:
    """Remove repetitions: the same bytes, the same text but for formatting, or nearly the same."""
    from automend_assets.dedup.files import dedup_parquet

    result = dedup_parquet(parquet, column, threshold, out, removed, language=language)
    table = Table("", Column("rows", justify="right"))
    table.add_row("read", f"{result.rows:,}")
    for level, count in result.removed_by_level.items():
        table.add_row(f"removed, {level}", f"{count:,}")
    table.add_row("kept", f"{result.rows - len(result.removed):,}")
    people.print(table)


def _parquet_column(
    paths: list[Path] | None, parquet: Path | None, column: str | None
) -> tuple[Path, str] | None:
    """The file and column to read, or None when plain files are named."""
    if (parquet is None) == (not paths):
        raise typer.BadParameter("name text files and folders, or --parquet FILE with --column NAME")
    if parquet is None:
        return None
    if column is None:
        raise typer.BadParameter("--parquet needs the column of texts: --column NAME")
    return parquet, column


def _show_findings(summary: ScanSummary, verb: str) -> None:
    report = summary.report.as_dict()
    table = Table("rule", "kind", Column(verb, justify="right"), Column("documents", justify="right"))
    for rule in report["rules"]:
        table.add_row(rule["rule"], rule["kind"], f"{rule['findings']:,}", f"{rule['documents']:,}")
    people.print(table)
    people.print(
        f"{report['findings']:,} {verb} in {report['documents_with_findings']:,} of"
        f" {report['documents']:,} documents"
    )
    for path, reason in summary.skipped.items():
        people.print(f"[yellow]skipped[/] {escape(path)}: {reason}", soft_wrap=True)


def _ledger() -> Ledger:
    from automend_assets.versions.ledger import Ledger

    return Ledger(Settings().ledger_url.get_secret_value())


def _store() -> Store:
    from automend_assets.storage.store import Store

    return Store(Settings().store_url)


def _promotions() -> Promotions:
    from automend_assets.versions.promotions import Promotions

    return Promotions(Settings().ledger_url.get_secret_value())


def _shown_base(options: dict[str, Any]) -> str:
    base = options["base"]
    names = {"promoted": "version", "hub": "repo", "folder": "path"}
    return f"{base['kind']} {base[names[base['kind']]]}" if base["kind"] in names else str(base["kind"])


def _recall(store: Store, version: str) -> list[str]:
    """Recall@1 of what would serve, on seen and unseen corrections, where the version was evaluated."""
    if not store.exists(TYPOS, version, "evaluation.json"):
        return ["", ""]
    tests = json.loads(store.read_bytes(TYPOS, version, "evaluation.json"))["tests"]
    return [
        f"{tests[name]['ways']['new_serving']['recall_at_1']:.3f}" if tests[name]["pairs"] else ""
        for name in ("seen", "unseen")
    ]


def _surroundings() -> Surroundings:
    from automend_assets.connectors.hub import HubResource
    from automend_assets.connectors.interactions.resource import InteractionsResource
    from automend_assets.pipeline.dataset import Surroundings
    from automend_assets.storage.resources import LedgerResource, StoreResource

    current = Settings()
    return Surroundings(
        HubResource(endpoint=current.hf_endpoint),
        InteractionsResource(settle_seconds=current.settle_seconds),
        LedgerResource(url=current.ledger_url.get_secret_value()),
        StoreResource(url=current.store_url),
    )


def _materialize(dataset: str, version: str) -> RunOutcome:
    from automend_assets.automation.instance import open_instance
    from automend_assets.automation.progress import RunProgress, step_name, summary_table
    from automend_assets.automation.runs import materialize_version
    from automend_assets.definitions import build_defs

    people.rule(f"{dataset} {version}", align="left")
    with open_instance() as instance:
        with RunProgress(people) as progress:
            outcome = materialize_version(
                build_defs(),
                dataset,
                version,
                instance=instance,
                ledger=_ledger(),
                on_entry=progress.show,
            )
        for step, message in outcome.failures.items():
            people.print(f"[bold red]failed[/]   {step_name(step)}: {escape(message)}", soft_wrap=True)
        if outcome.not_made:
            people.print(f"[red]not made[/] {', '.join(outcome.not_made)}", soft_wrap=True)
        if progress.checks:
            people.print(progress.checks)
        if outcome.success:
            summary = json.loads(_store().read_bytes(dataset, version, "run_summary.json"))
            people.print(summary_table(f"{dataset} {version}", summary))
    return outcome
