"""What a person sees in Dagster's UI after a version of Glaive was cut and materialised, in a real browser.

Screenshots go to $AUTOMEND_SCREENSHOTS when it is set, else to the test's temporary folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets_tests.servers.dagster_ui import PROJECT, dagster_ui

ROWS = 400
WAIT_MILLISECONDS = 45_000
ASSETS = [
    "raw_sample",
    "processed_records",
    "quarantine",
    "chatml",
    "tool_messages",
    "bias_report",
    "balanced_chatml",
    "release",
    "run_summary",
]
CHECKED = ["processed_records", "chatml", "tool_messages"]
# Debian's Chromium without a sandbox of its own (it runs as root here) and without calls to the network.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

expect.set_options(timeout=WAIT_MILLISECONDS)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Dagster with one materialised version of Glaive, cut from the bundled sample."""
    folder = tmp_path_factory.mktemp("ui")
    environment = {
        **os.environ,
        "AUTOMEND_STORE": str(folder / "store"),
        "AUTOMEND_LEDGER": f"sqlite:///{folder / 'ledger.sqlite'}",
        "DAGSTER_HOME": str(folder / "dagster_home"),
    }
    automend = Path(sys.executable).with_name("automend")
    for arguments in (["cut", "glaive", "--rows", str(ROWS)], ["materialize", "glaive", "v0001"]):
        done = subprocess.run(
            [automend, *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    with dagster_ui(environment, folder / "webserver.log") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=CHROMIUM_FLAGS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(WAIT_MILLISECONDS)
    opened = context.new_page()
    yield opened
    context.close()


@pytest.fixture
def screenshot(page: Page, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep what the page showed at the end of the test, whether it passed or not."""
    yield
    folder = Path(os.environ.get("AUTOMEND_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{request.node.name.removeprefix('test_')}.png")


def _is_on_canvas(node: Locator) -> bool:
    """Whether a node of the graph, of which `node` is the title, is below the page's head and above its foot."""
    box = node.bounding_box()
    return box is not None and box["y"] > 170 and box["y"] + 130 < 1150


@pytest.mark.usefixtures("screenshot")
def test_lineage(ui: str, page: Page) -> None:
    page.set_viewport_size({"width": 1800, "height": 1150})
    page.goto(f"{ui}/locations/automend_assets/asset-groups/glaive/lineage")
    page.get_by_text("Hide navigation").click()
    expect(page.get_by_text("100% filled")).to_have_count(len(ASSETS))
    nodes = [page.get_by_text(asset, exact=True).first for asset in ASSETS]
    for _ in range(8):  # Dagster fits the graph to the width only
        if all(_is_on_canvas(node) for node in nodes):
            break
        page.get_by_role("img", name="zoom_out").click()
    for node in nodes:
        expect(node).to_be_in_viewport(ratio=1)
    expect(page.get_by_text(re.compile(r"^(\d+) / \1 Passed$"))).to_have_count(len(CHECKED))
    expect(page.get_by_text("Failed")).to_have_count(0)


@pytest.mark.usefixtures("screenshot")
def test_columns(ui: str, page: Page) -> None:
    page.goto(f"{ui}/assets/glaive/processed_records?view=overview")
    expect(page.get_by_text("Row count").locator("..")).to_contain_text(str(ROWS))
    for column in CONTRACT.columns:
        row = page.get_by_role("row").filter(has=page.get_by_text(column.name, exact=True))
        expect(row).to_contain_text(column.description.replace("`", ""))  # shown as Markdown


@pytest.mark.usefixtures("screenshot")
def test_check_history(ui: str, page: Page) -> None:
    page.goto(f"{ui}/assets/glaive/processed_records?view=checks&checkDetail=malformed_rate")
    page.get_by_role("tab", name="Execution history").click()
    execution = page.get_by_role("row").filter(has=page.get_by_role("cell", name="v0001", exact=True))
    expect(execution.get_by_text("Passed")).to_be_visible()


@pytest.mark.usefixtures("screenshot")
def test_bias_plot(ui: str, page: Page) -> None:
    page.goto(f"{ui}/assets/glaive/bias_report?view=overview")
    page.get_by_text("[Show Markdown]").first.click()
    plot = page.get_by_alt_text("plot")
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 800


@pytest.mark.usefixtures("screenshot")
def test_cut_form(ui: str, page: Page) -> None:
    page.goto(f"{ui}/locations/automend_assets/jobs/glaive_cut/playground")
    form = page.locator(".CodeMirror").first
    for line in ("cut_glaive_version:", "source: sample", "rows: 5000", "seed: 42"):
        expect(form).to_contain_text(line)
    expect(page.get_by_text("No errors")).to_be_visible()
    form.get_by_text("5000", exact=True).click()
    expect(page.get_by_text("Sample size; 0 for every row of the source.")).to_be_visible()


def test_a_cut_from_the_form_is_a_new_partition(ui: str, page: Page) -> None:
    page.goto(f"{ui}/locations/automend_assets/jobs/glaive_cut/playground")
    expect(page.get_by_text("No errors")).to_be_visible()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url(re.compile(r"/runs/"))
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    page.goto(f"{ui}/assets/glaive/raw_sample?view=partitions")
    expect(page.get_by_text("v0002", exact=True).first).to_be_visible()
