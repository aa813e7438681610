"""What the 7,600 real YAML files come to: yield, nothing left to find by two scanners, no structure changed, none
lost."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from automend_assets.connectors.hub import HubResource
from automend_assets.contracts.balancing import balance_plan, repeat_rows
from automend_assets.datasets.iac.contract import CONTRACT, MAX_SHARE
from automend_assets.datasets.iac.options import IacOptions
from automend_assets.datasets.iac.process import REASONS, process
from automend_assets.datasets.iac.reports import diagnostic
from automend_assets.datasets.iac.source import read_source, resolve_source
from automend_assets.privacy.scanner import Scanner
from automend_assets.versions.manifest import Manifest
from automend_assets_tests.servers.hub import LoopbackHub
from automend_assets_tests.workplace import REALDATA


class Real:
    """The real files and what became of them."""

    def __init__(self, folder: Path) -> None:
        assert (REALDATA / "hub").exists(), (
            f"{REALDATA} is missing: it holds the real rows that this test reads"
        )
        with LoopbackHub(REALDATA / "hub") as server:
            hub = HubResource(endpoint=server.url)
            manifest = Manifest(
                dataset="iac",
                source=resolve_source("hub", hub=hub),
                rows=None,
                seed=42,
                shuffle_buffer=10_000,
            )
            read_source(manifest, folder / "raw.parquet", hub=hub)
        self.options = IacOptions()
        self.raw = pl.read_parquet(folder / "raw.parquet")
        process(
            self.raw.lazy(),
            folder / "manifests.parquet",
            folder / "quarantine.parquet",
            options=self.options,
            seed=42,
            workers=1,
        )
        self.manifests = pl.read_parquet(folder / "manifests.parquet")
        self.quarantine = pl.read_parquet(folder / "quarantine.parquet")

    @property
    def originals(self) -> dict[int, str]:
        """The content before anything was done to it, by row number."""
        return dict(self.raw.select("row_number", "content").iter_rows())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    return Real(tmp_path_factory.mktemp("real"))


def test_the_yield_per_filter(real: Real, capsys: pytest.CaptureFixture[str]) -> None:
    told = diagnostic(real.raw.lazy(), real.manifests.lazy(), real.quarantine.lazy(), real.options)
    with capsys.disabled():
        print("\nyield of the real files per filter")
        for step in told["filters"]:
            print(
                f"  {step['reason']:24}{step['rows_in']:>6} in {step['refused']:>6} refused {step['rows_left']:>6} left"
            )
    assert told["rows"] == 7_600
    assert 700 < told["manifests"] < 1_100
    assert told["filters"][-1]["rows_left"] == told["manifests"]


def test_our_scanner_finds_nothing_in_what_is_kept(real: Real) -> None:
    scanner = Scanner()
    before = scanner.scan(pl.Series([real.originals[row] for row in real.manifests["row_number"]]))
    assert len(before) > 10
    for column in ("content", "prompt"):
        assert len(scanner.scan(real.manifests[column])) == 0


def test_the_patterns_of_detect_secrets_find_nothing_new(real: Real) -> None:
    """Its plugins that know a token by its form; on the originals they do find some."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.settings import transient_settings

    names = {
        *(
            "ArtifactoryDetector",
            "AWSKeyDetector",
            "AzureStorageKeyDetector",
            "BasicAuthDetector",
            "CloudantDetector",
        ),
        *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector"),
        *("MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector"),
        *(
            "SendGridDetector",
            "SlackDetector",
            "SquareOAuthDetector",
            "StripeDetector",
            "TelegramBotTokenDetector",
        ),
        "TwilioKeyDetector",
    }
    with transient_settings({"plugins_used": [{"name": name} for name in sorted(names)]}):
        plugins = [
            plugin()
            for plugin in get_mapping_from_secret_type_to_class().values()
            if plugin.__name__ in names
        ]
    assert len(plugins) == len(names)

    def found(texts: list[str]) -> list[tuple[str, int]]:
        return [
            (str(plugin.secret_type), number)
            for number, text in enumerate(texts)
            for plugin in plugins
            if any(True for _ in plugin.analyze_string(text))
        ]

    planted = "postgresql://app:" + "zQ7h4rK9wPx2" + "@db:5432/x"
    assert found([planted, "AK" + "IA" + "IOSFODNN7EXAMPLR"]) == [
        ("Basic Auth Credentials", 0),
        ("AWS Access Key", 1),
    ]
    left = found(real.manifests["content"].to_list())
    assert [(kind, real.manifests["path"][number]) for kind, number in left] == []
    assert len(found([real.originals[row] for row in real.manifests["row_number"]])) > 1


def test_no_manifest_changed_its_structure(real: Real) -> None:
    """Judged by PyYAML's own reader, which has no part in the redaction."""
    originals = real.originals
    changed = 0
    for row, content in real.manifests.select("row_number", "content").iter_rows():
        original = originals[row].removeprefix("\ufeff").replace("\r\n", "\n")
        if content == original:
            continue
        changed += 1
        before, after = (list(yaml.compose_all(text, yaml.CSafeLoader)) for text in (original, content))
        assert len(before) == len(after)
        assert [skeleton(node) for node in before] == [skeleton(node) for node in after]
    assert changed == (real.manifests["num_redactions"] > 0).sum() > 5


def skeleton(node: yaml.Node | None) -> object:
    """A node without the text of its values: tags, keys and their order."""
    if isinstance(node, yaml.MappingNode):
        return [
            node.tag,
            [
                (key.value if isinstance(key, yaml.ScalarNode) else None, skeleton(value))
                for key, value in node.value
            ],
        ]
    if isinstance(node, yaml.SequenceNode):
        return [node.tag, [skeleton(value) for value in node.value]]
    return None if node is None else node.tag


def test_every_file_of_several_documents_is_kept_or_refused_for_a_reason(real: Real) -> None:
    several = real.raw.filter(pl.col("content").str.count_matches(r"(?m)^---[ \t]*(?:#.*)?\r?$") >= 2)
    assert len(several) > 300
    reasons = dict(real.quarantine.select("row_number", "reason").iter_rows())
    kept = set(real.manifests["row_number"])
    for row in several["row_number"]:
        assert (row in kept) != (row in reasons)
        assert row in kept or reasons[row] in REASONS
    assert (real.manifests["num_documents"] > 1).sum() > 100
    # None is refused for being several: what is valid YAML of resources about ML under a good licence is kept.
    invalid = real.quarantine.filter(pl.col("reason") == "invalid_yaml")["row_number"]
    originals = real.originals
    for row in invalid:
        with pytest.raises(yaml.YAMLError):
            list(yaml.parse(originals[row], yaml.CSafeLoader))


def test_templates_are_told_from_broken_files(real: Real) -> None:
    originals = real.originals
    templates = real.quarantine.filter(pl.col("reason") == "helm_template")["row_number"]
    assert len(templates) > 2_000
    assert all("{{" in originals[row] for row in templates)


def test_no_two_kept_manifests_are_alike(real: Real) -> None:
    squeezed = real.manifests["content"].str.replace_all(r"\s+", " ")
    assert squeezed.n_unique() == len(squeezed)


def test_the_cap_of_the_types_is_reached(real: Real) -> None:
    plan = balance_plan(real.manifests.lazy(), CONTRACT.slices, CONTRACT.usable, seed=42)
    balanced = repeat_rows(real.manifests.lazy(), plan).collect()
    shares = balanced["iac_type"].value_counts(normalize=True)
    assert shares["proportion"].max() <= MAX_SHARE
    assert len(balanced) > 0.7 * len(real.manifests)
