"""The dataset of typos as Dagster assets: each reads its inputs, calls one pure function, returns with metadata.

Which rows are refused is in `interactions.py`, what is trained on in `retraining.py`, the training in `finetuning.py`,
what is measured in `report.py`, the promotion in `gate.py`, sources and base models in `source.py`.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.hub_publishing import publish
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.connectors.mlflow_tracking import MlflowResource
from automend_assets.contracts.bias import bias_report as report_bias
from automend_assets.contracts.bias_plot import bias_plot
from automend_assets.contracts.checks import (
    Watched,
    column_lineage,
    contract_checks,
    table_schema,
    watching_checks,
)
from automend_assets.datasets.typos.artifact import (
    FACTS,
    ModelArtifact,
    is_character_model,
    read_artifact,
    read_facts,
    write_artifact,
)
from automend_assets.datasets.typos.card import CARD
from automend_assets.datasets.typos.contract import CONTRACT
from automend_assets.datasets.typos.finetuning import finetune
from automend_assets.datasets.typos.gate import Verdict, gate
from automend_assets.datasets.typos.interactions import validate
from automend_assets.datasets.typos.model_card import model_card
from automend_assets.datasets.typos.options import SPLIT_SEED, RequestedOptions, TyposOptions
from automend_assets.datasets.typos.report import (
    evaluation_plot,
    evaluation_table,
    metrics,
    not_below_edit_distance,
)
from automend_assets.datasets.typos.retraining import TrainingSet, training_set
from automend_assets.datasets.typos.source import (
    MODEL_FILE,
    NothingNew,
    fetch_base,
    read_interactions,
    resolve_base,
    resolve_rows,
)
from automend_assets.pipeline.accounts import account_of_frame
from automend_assets.pipeline.assets import dataset_asset, dataset_out, picture, trying_again
from automend_assets.pipeline.dataset import CutRequest, Dataset, SourceKind, Surroundings
from automend_assets.pipeline.release import release_asset, run_summary_asset
from automend_assets.settings import Settings
from automend_assets.storage.archives import unpack
from automend_assets.storage.io_managers import StagedFile
from automend_assets.storage.quarantine import count_by_reason
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.storage.store import Store
from automend_assets.versions.cutting import load_manifest
from automend_assets.versions.manifest import LogSource, Manifest, Source, version_key, version_number
from automend_assets.versions.partitions import versions_of
from automend_assets.versions.release import describe_artifacts

VERSIONS = versions_of(CONTRACT.dataset)


def plan(request: CutRequest, surroundings: Surroundings) -> Manifest:
    """Pin down what a version is cut from.

    Raises NothingNew for a log without settled rows that are in no version yet.
    """
    options = RequestedOptions.model_validate(request.options)
    if request.source is SourceKind.log:
        return _manifest(_new_range(surroundings), options, surroundings, seed=request.seed)
    source = resolve_rows(request.source.value, request.path)
    return _manifest(source, options, surroundings, seed=request.seed, rows=request.rows or None)


def plan_range(source: LogSource, surroundings: Surroundings) -> Manifest:
    """Pin down the version of a range that the sensor or the schedule found."""
    return _manifest(source, RequestedOptions(), surroundings, seed=CutRequest().seed)


def _manifest(
    source: Source,
    requested: RequestedOptions,
    around: Surroundings,
    *,
    seed: int,
    rows: int | None = None,
) -> Manifest:
    usual = "auto" if isinstance(source, LogSource) else "bundled"
    base = resolve_base(
        requested.base or usual,
        hub=around.hub,
        hub_repo=Settings().hub_model_repo,
        in_use=_in_use(around),
    )
    options = TyposOptions(
        base=base,
        training=requested.training,
        half_life=requested.half_life,
        split_seed=SPLIT_SEED,
    )
    return Manifest(
        dataset=CONTRACT.dataset,
        source=source,
        rows=rows,
        seed=seed,
        shuffle_buffer=1,
        options=options.model_dump(mode="json"),
    )


def _new_range(around: Surroundings) -> LogSource:
    with around.interactions.open() as log:
        backlog = log.backlog(
            around.ledger.get().log_end(CONTRACT.dataset, log.table), Settings().cut_max_rows
        )
        if not backlog.rows:
            raise NothingNew(
                f"{log.table} has no settled rows after id {backlog.lo}, where the newest version ends"
                f"{f' ({backlog.waiting})' if backlog.waiting else ''}. Cut again when corrections came in."
            )
        return log.pin(backlog.lo, backlog.hi)


def _in_use(around: Surroundings) -> tuple[str, str] | None:
    """The version in use and the SHA-256 of its model."""
    version = around.ledger.promotions().in_use(CONTRACT.dataset)
    if version is None:
        return None
    return version, _sha256(around.store.get(), version, MODEL_FILE)


@dataset_asset(CONTRACT.dataset, kinds={"supabase"}, io="parquet")
def interactions(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    ledger: LedgerResource,
    interactions: InteractionsResource,
) -> dg.Output[pl.DataFrame]:
    """The corrections of this version as people made them, unusable ones included; never released."""
    with trying_again(context):
        manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
        rows = read_interactions(
            manifest, interactions, on_progress=lambda count: context.log.info(f"{count:,} rows read")
        )
    return dg.Output(
        rows, metadata={"source": dg.MetadataValue.json(manifest.source.model_dump(mode="json"))}
    )


@dg.multi_asset(
    # Every dataset has such a step, and the names of steps are those of the whole code location.
    name=f"{CONTRACT.dataset}__training_pairs",
    outs={
        "training_pairs": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="parquet",
            description="Corrections that can be trained on: valid, without personal data, not contradicted.",
            metadata={"dagster/column_schema": table_schema(CONTRACT)},
        ),
        "quarantine": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="parquet",
            description="Every other row with its reason; personal data in it is replaced.",
        ),
    },
    ins={"interactions": dg.AssetIn(key_prefix=CONTRACT.dataset)},
    group_name=CONTRACT.dataset,
    partitions_def=VERSIONS,
)
def validated(interactions: pl.LazyFrame) -> Iterator[dg.Output[pl.DataFrame]]:
    """Keep what can be trained on, refuse the rest with reasons."""
    from automend_assets.privacy.scanner import Scanner

    pairs, quarantine = validate(interactions.collect(), Scanner())
    yield dg.Output(pairs, "training_pairs", metadata={"dagster/column_lineage": column_lineage(CONTRACT)})
    yield dg.Output(
        quarantine,
        "quarantine",
        metadata={"reasons": dg.MetadataValue.json(count_by_reason(quarantine.lazy()))},
    )


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="json")
def bias_report(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    ledger: LedgerResource,
    training_pairs: pl.LazyFrame,
) -> dg.Output[dict[str, Any]]:
    """How the pairs spread over domains, lengths and digits, and what is too rare."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    report = report_bias(CONTRACT, training_pairs, seed=manifest.seed)
    return dg.Output(
        report, metadata={"plot": picture(bias_plot(report)), "findings": len(report["findings"])}
    )


@dataset_asset(CONTRACT.dataset, kinds={"huggingface", "pytorch"}, io="zip")
def base_model(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, hub: HubResource
) -> Iterator[dg.Output[StagedFile]]:
    """The model that this version starts from: the one in use when it was cut, the Hub's, or the bundled one."""
    with trying_again(context), store.get().staging() as folder:
        options = _options(load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key))
        model = fetch_base(options.base, hub=hub, store=store.get(), folder=folder)
        file = folder / "base_model.zip"
        base = options.base.model_dump(mode="json")
        write_artifact(ModelArtifact(model, [], {"base": base}), file)
        yield dg.Output(
            StagedFile(file),
            metadata={
                "base": dg.MetadataValue.json(base),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
            },
        )


@dataset_asset(
    CONTRACT.dataset,
    kinds={"pytorch"},
    io="zip",
    deps=[dg.AssetKey([CONTRACT.dataset, name]) for name in ("base_model", "training_pairs")],
)
def finetuned_model(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, mlflow: MlflowResource
) -> Iterator[dg.Output[StagedFile]]:
    """The base trained on the pairs of all versions so far, with the corrections that it knows."""
    version, place = context.partition_key, store.get()
    options = _options(load_manifest(ledger.get(), place, CONTRACT.dataset, version))
    used, left_out = _versions_so_far(ledger, place, version)
    chosen = _training_set(place, used, version, options)
    with trying_again(context), place.staging() as folder:
        model, training = finetune(
            _artifact(place, version, "base_model.zip"),
            chosen,
            options,
            versions=used,
            checkpoints=_checkpoints(place, version),
            on_progress=lambda done, epochs: context.log.info(f"epoch {done} of at most {epochs} trained"),
        )
        file = folder / MODEL_FILE
        write_artifact(model, file)
        run = mlflow.log_run(
            CONTRACT.dataset,
            version,
            params={**options.training.model_dump(mode="json"), "base": options.base.model_dump_json()},
            metrics={
                "pairs": len(chosen.split.training),
                "corrections": len(chosen.entries),
                "best_epoch": training.best_epoch,
                "loss": training.losses[training.best_epoch - 1],
            },
            artifacts={FACTS: json.dumps(model.facts, indent=2).encode()},
        )
        yield dg.Output(
            StagedFile(file),
            metadata={
                "versions_used": dg.MetadataValue.json(used),
                "versions_left_out": dg.MetadataValue.json(left_out),
                "training": dg.MetadataValue.json(training.as_json()),
                "pairs": dg.MetadataValue.json(model.facts["pairs"]),
                "mlflow_run": run or "nowhere: set MLFLOW_TRACKING_URI",
            },
        )


@dg.multi_asset(
    # One step: what a version is compared with is what is in use when it is decided on.
    name=f"{CONTRACT.dataset}__promotion",
    outs={
        "evaluation": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="json",
            description="Recall and MRR of the new model, the one in use, the base and edit distance, with intervals.",
        ),
        "promotion": dataset_out(
            CONTRACT.dataset,
            kinds=set(),
            io="json",
            description="Whether the new model takes the place of the one in use, and why.",
        ),
    },
    deps=[dg.AssetKey([CONTRACT.dataset, name]) for name in ("base_model", "finetuned_model")],
    group_name=CONTRACT.dataset,
    partitions_def=VERSIONS,
)
def decided(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, mlflow: MlflowResource
) -> Iterator[dg.Output[dict[str, Any]]]:
    """Measure the new model beside the one in use, and promote it if it is better."""
    from automend_assets.datasets.typos.comparison import Contender, evaluate_models
    from automend_assets.datasets.typos.encoder import encode_with
    from automend_assets.datasets.typos.evaluation import latency
    from automend_assets.datasets.typos.lookup import Lookup

    version, place, promotions = context.partition_key, store.get(), ledger.promotions()
    options = _options(load_manifest(ledger.get(), place, CONTRACT.dataset, version))
    new = _artifact(place, version, MODEL_FILE)
    chosen = _training_set(place, new.facts["versions"], version, options)
    base = _artifact(place, version, "base_model.zip")
    tests = {"seen": chosen.split.seen, "unseen": chosen.split.unseen}

    def evaluate(against: str | None) -> tuple[dict[str, Any], Verdict]:
        in_use = None
        if against is not None:
            old = _artifact(place, against, MODEL_FILE)
            in_use = Contender(against, encode_with(old.model), old.entries)
        context.log.info(f"measuring {version} beside {against or 'nothing, for nothing is in use'}")
        evaluation = evaluate_models(
            new=Contender(version, encode_with(new.model), new.entries),
            base=Contender("base", encode_with(base.model), new.entries),
            in_use=in_use,
            tests=tests,
            candidates=new.entries,
            seed=options.split_seed,
        )
        return evaluation, gate(evaluation)

    with trying_again(context):
        # A version that was decided on is measured again beside the same; if another one was promoted meanwhile,
        # `decide` refuses, and the step is tried again.
        earlier = promotions.decision_on(CONTRACT.dataset, version)
        evaluation, verdict = evaluate(earlier.before if earlier else promotions.in_use(CONTRACT.dataset))
        decision = promotions.decide(
            CONTRACT.dataset,
            version,
            against=evaluation["against"],
            promoted=verdict.promoted,
            reason=verdict.reason,
        )
        promoted = decision.action == "promoted"
        _track(mlflow, place, version, evaluation, promoted=promoted)
    tested = [*chosen.split.seen, *chosen.split.unseen][:500]
    timed = latency(Lookup(new.entries, encode_with(new.model)), tested) if tested else {}
    yield dg.Output(
        evaluation,
        "evaluation",
        metadata={
            "plot": picture(evaluation_plot(evaluation)),
            "table": dg.MetadataValue.md(evaluation_table(evaluation)),
            "latency": dg.MetadataValue.json(timed),
            **metrics(evaluation),
        },
    )
    yield dg.Output(
        {"version": version, "against": decision.before, "promoted": promoted, "reason": decision.reason},
        "promotion",
        metadata={"promoted": promoted, "reason": decision.reason, "against": decision.before or "nothing"},
    )


@dataset_asset(
    CONTRACT.dataset,
    kinds={"huggingface"},
    io="json",
    deps=[dg.AssetKey([CONTRACT.dataset, "finetuned_model"])],
)
def published_model(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    ledger: LedgerResource,
    hub: HubResource,
    evaluation: dict[str, Any],
    promotion: dict[str, Any],
) -> dg.Output[dict[str, Any]]:
    """The promoted model on the Hub with its card, tagged with its version; where it is, or why it is nowhere."""
    version, place, settings = context.partition_key, store.get(), Settings()
    repo, reason = settings.hub_model_repo, _why_not_published(promotion, settings)
    if repo is None or reason is not None:
        return dg.Output(
            {"published": False, "reason": reason}, metadata={"published": False, "reason": reason}
        )
    with (
        trying_again(context),
        place.staging() as folder,
        place.local_copy(CONTRACT.dataset, version, MODEL_FILE) as file,
    ):
        unpack(file, folder)
        cut_at = ledger.get().get(CONTRACT.dataset, version).created_at
        card = model_card(
            version,
            repo=repo,
            evaluation=evaluation,
            reason=promotion["reason"],
            facts=json.loads((folder / FACTS).read_bytes()),
            manifest_sha256=load_manifest(ledger.get(), place, CONTRACT.dataset, version).sha256,
            cut_at=cut_at,
            character_ngrams=is_character_model(folder),
        )
        published = publish(
            hub,
            repo,
            {
                **{
                    path.relative_to(folder).as_posix(): path
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                },
                "README.md": card.encode(),
                f"models/finetuned-embedding-model-{cut_at:%Y%m%d}.zip": file,
            },
            message=f"Version {version}: {promotion['reason']}",
            tag=version,
        )
    return dg.Output(
        {"published": True, "repo": published.repo, "commit": published.commit, "tag": published.tag},
        metadata={
            "published": True,
            "repo": published.repo,
            "commit": published.commit,
            "tag": published.tag,
        },
    )


def _why_not_published(promotion: Mapping[str, Any], settings: Settings) -> str | None:
    if not promotion["promoted"]:
        return f"not promoted: {promotion['reason']}"
    if settings.hub_model_repo is None:
        return "AUTOMEND_HUB_MODEL_REPO names no repo to publish to"
    if settings.hf_token is None:
        return "there is no token to publish with: set HF_TOKEN to one that may write"
    return None


def _options(manifest: Manifest) -> TyposOptions:
    return TyposOptions.model_validate(manifest.options)


def _artifact(store: Store, version: str, name: str) -> ModelArtifact:
    with store.local_copy(CONTRACT.dataset, version, name) as file:
        return read_artifact(file)


def _sha256(store: Store, version: str, name: str) -> str:
    (artifact,) = describe_artifacts(store, CONTRACT.dataset, version, [name])
    return artifact.sha256


def _versions_so_far(ledger: LedgerResource, store: Store, version: str) -> tuple[list[str], list[str]]:
    """The versions up to this one whose pairs are in the store, and those whose pairs are not."""
    so_far = [key for key in ledger.get().keys(CONTRACT.dataset) if _age(key, version) >= 0]
    used = [key for key in so_far if store.exists(CONTRACT.dataset, key, "training_pairs.parquet")]
    return used, [key for key in so_far if key not in set(used)]


def _age(key: str, version: str) -> int:
    return (version_number(version) or 0) - (version_number(key) or 0)


def _training_set(store: Store, used: Sequence[str], version: str, options: TyposOptions) -> TrainingSet:
    frames = [
        (_age(key, version), store.scan_parquet(CONTRACT.dataset, key, "training_pairs.parquet").collect())
        for key in used
    ]
    return training_set(frames, half_life=options.half_life, split_seed=options.split_seed)


def _checkpoints(store: Store, version: str) -> Path:
    """Where a training that is killed finds its state again: with the store's own files, or on this machine."""
    if store.root.startswith("s3://"):
        home = Path(tempfile.gettempdir(), f"automend-checkpoints-{os.getuid()}")
        home.mkdir(mode=0o700, exist_ok=True)
    else:
        home = Path(store.root, ".checkpoints")
    return home / CONTRACT.dataset / version


def _track(
    mlflow: MlflowResource, store: Store, version: str, evaluation: dict[str, Any], *, promoted: bool
) -> None:
    mlflow.log_run(
        CONTRACT.dataset,
        version,
        metrics=metrics(evaluation),
        artifacts={
            "evaluation.json": json.dumps(evaluation, indent=2).encode(),
            "evaluation.png": evaluation_plot(evaluation),
        },
    )
    if promoted:
        with store.local_copy(CONTRACT.dataset, version, MODEL_FILE) as file:
            mlflow.promote(CONTRACT.dataset, version, model=file)


def _uses_all_versions(store: Store, version: str) -> tuple[bool, str]:
    with store.local_copy(CONTRACT.dataset, version, MODEL_FILE) as file:
        used = set(read_facts(file)["versions"])
    number = version_number(version) or 0
    missing = [key for key in map(version_key, range(1, number + 1)) if key not in used]
    if not missing:
        return True, f"Trained on the pairs of all {len(used)} versions so far"
    return False, (
        f"Trained without {', '.join(missing)}, whose training pairs were not in the store: materialise them, then"
        " this model again."
    )


def _beats_edit_distance(store: Store, version: str) -> tuple[bool, str]:
    return not_below_edit_distance(_json(store, version, "evaluation"))


def _was_promoted(store: Store, version: str) -> tuple[bool, str]:
    promotion = _json(store, version, "promotion")
    return promotion["promoted"], promotion["reason"]


def _json(store: Store, version: str, asset: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.read_bytes(CONTRACT.dataset, version, f"{asset}.json"))
    return found


def _measures(store: Store, version: str) -> Mapping[str, float]:
    return metrics(_json(store, version, "evaluation"))


RELEASED = (
    "training_pairs.parquet",
    "quarantine.parquet",
    "bias_report.json",
    MODEL_FILE,
    "evaluation.json",
    "promotion.json",
    "published_model.json",
)
"""Neither the rows as they came in, which may hold personal data, nor the base, which the manifest names."""

COUNTED = ("interactions.parquet", *RELEASED)

DATASET = Dataset(
    name=CONTRACT.dataset,
    contract=CONTRACT,
    plan=plan,
    plan_range=plan_range,
    assets=[
        interactions,
        validated,
        bias_report,
        base_model,
        finetuned_model,
        decided,
        published_model,
        run_summary_asset(CONTRACT, COUNTED),
        release_asset(CONTRACT, RELEASED, CARD, _measures),
    ],
    checks=[
        contract_checks(
            CONTRACT,
            VERSIONS,
            reconcile=account_of_frame(CONTRACT.dataset, "interactions", "training_pairs"),
            reconciled_with=[dg.AssetKey([CONTRACT.dataset, "quarantine"])],
        ),
        watching_checks(
            CONTRACT.dataset,
            VERSIONS,
            [
                Watched(
                    "finetuned_model",
                    "uses_all_versions",
                    "The pairs of every version so far are trained on",
                    _uses_all_versions,
                ),
                Watched(
                    "evaluation",
                    "not_below_edit_distance",
                    "What would serve finds at least as many as edit distance, in each domain",
                    _beats_edit_distance,
                ),
                Watched(
                    "promotion",
                    "promoted",
                    "The new model is better than the one in use; if not, that one stays, and nothing is wrong",
                    _was_promoted,
                ),
            ],
        ),
    ],
)
