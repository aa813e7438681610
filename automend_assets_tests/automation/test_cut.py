"""The job that cuts a version from the UI: the same versions as the command line, and failures that say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from automend_assets.definitions import build_defs
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets_tests.datasets.glaive.rows import generated, write
from automend_assets_tests.workplace import Workplace


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def home(workplace: Workplace) -> Iterator[dg.DagsterInstance]:
    workplace.automend("home")
    with workplace.instance() as instance:
        yield instance


def launch(workplace: Workplace, instance: dg.DagsterInstance, **form: Any) -> dg.ExecuteInProcessResult:
    """Run the job with what a person wrote into the form."""
    defs = build_defs(
        {
            "store": StoreResource(url=workplace.environment["AUTOMEND_STORE"]),
            "ledger": LedgerResource(url=workplace.environment["AUTOMEND_LEDGER"]),
        }
    )
    return defs.resolve_job_def("glaive_cut").execute_in_process(
        run_config={"ops": {"cut_glaive_version": {"config": form}}}, instance=instance, raise_on_error=False
    )


def reason(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    error = failure.step_failure_data.error
    assert error is not None
    return str(error)


def test_the_form_and_the_command_line_cut_the_same_versions(
    workplace: Workplace, home: dg.DagsterInstance
) -> None:
    by_form = launch(workplace, home)
    assert by_form.success
    assert by_form.output_for_node("cut_glaive_version") == "v0001"
    assert home.get_dynamic_partitions("glaive_versions") == ["v0001"]
    assert workplace.cut() == "v0001"

    file = write(workplace.folder / "rows.json", generated(20))
    form = {"source": "file", "path": str(file), "rows": 10, "seed": 7, "shuffle_buffer": 5}
    assert launch(workplace, home, **form).output_for_node("cut_glaive_version") == "v0002"
    options = (
        "--source",
        "file",
        "--path",
        str(file),
        "--rows",
        "10",
        "--seed",
        "7",
        "--shuffle-buffer",
        "5",
    )
    assert workplace.cut(*options) == "v0002"
    assert launch(workplace, home, rows=0).output_for_node("cut_glaive_version") == "v0003"
    assert workplace.cut("--rows", "all") == "v0003"
    assert home.get_dynamic_partitions("glaive_versions") == ["v0001", "v0002", "v0003"]
    assert [version.key for version in workplace.ledger.versions("glaive")] == ["v0001", "v0002", "v0003"]


def test_the_run_shows_what_was_cut(workplace: Workplace, home: dg.DagsterInstance) -> None:
    result = launch(workplace, home, rows=100, options={"balance_max_copies": 3})
    (output,) = (event for event in result.all_events if event.is_successful_output)
    metadata = output.step_output_data.metadata
    assert metadata["version"].value == "v0001"
    assert metadata["manifest"].value == workplace.json("v0001", "manifest.json")
    assert workplace.json("v0001", "manifest.json")["options"]["balance_max_copies"] == 3


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"source": "file", "path": "/no/where.json"}, "/no/where.json cannot be opened"),
        ({"path": "rows.json"}, "A path belongs to the source 'file'"),
        ({"options": {"balance_max_copies": 0}}, "balance_max_copies"),
        ({"options": {"no_such_option": 1}}, "no_such_option"),
        ({"rows": -1}, "rows"),
    ],
)
def test_a_form_that_makes_no_sense_fails_and_cuts_nothing(
    form: dict[str, Any], message: str, workplace: Workplace, home: dg.DagsterInstance
) -> None:
    result = launch(workplace, home, **form)
    assert not result.success
    assert message in reason(result)
    assert workplace.ledger.keys("glaive") == []
    assert home.get_dynamic_partitions("glaive_versions") == []


@pytest.mark.parametrize("form", [{"rows": "many"}, {"source": "ftp"}, {"no_such_field": 1}])
def test_a_form_of_the_wrong_shape_is_refused_before_it_runs(
    form: dict[str, Any], workplace: Workplace, home: dg.DagsterInstance
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        launch(workplace, home, **form)
    assert workplace.ledger.keys("glaive") == []
