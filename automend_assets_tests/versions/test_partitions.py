"""The ledger's versions as partitions of a real Dagster instance."""

from __future__ import annotations

import subprocess
import sys

from dagster import DagsterInstance

from automend_assets.versions.ledger import Ledger
from automend_assets.versions.partitions import register, versions_of
from automend_assets_tests.versions.manifests import manifest


def test_register_adds_what_is_missing_in_order_and_nothing_twice(
    instance: DagsterInstance, ledger: Ledger
) -> None:
    assert register(instance, ledger, "glaive") == []
    ledger.cut(manifest(1))
    ledger.cut(manifest(2))
    assert register(instance, ledger, "glaive") == ["v0001", "v0002"]
    ledger.cut(manifest(3))
    ledger.cut(manifest(1, dataset="iac"))
    assert register(instance, ledger, "glaive") == ["v0003"]
    assert register(instance, ledger, "glaive") == []
    keys = versions_of("glaive").get_partition_keys(dynamic_partitions_store=instance)
    assert keys == ["v0001", "v0002", "v0003"]


def test_register_repairs_an_instance_that_lost_a_version(instance: DagsterInstance, ledger: Ledger) -> None:
    for rows in (1, 2, 3):
        ledger.cut(manifest(rows))
    register(instance, ledger, "glaive")
    instance.delete_dynamic_partition("glaive_versions", "v0002")
    assert register(instance, ledger, "glaive") == ["v0002"]
    assert set(instance.get_dynamic_partitions("glaive_versions")) == {"v0001", "v0002", "v0003"}


def test_processes_that_register_at_once_all_succeed(instance: DagsterInstance, ledger: Ledger) -> None:
    for rows in range(1, 21):
        ledger.cut(manifest(rows))
    code = (
        "import sys; from dagster import DagsterInstance\n"
        "from automend_assets.versions.ledger import Ledger\n"
        "from automend_assets.versions.partitions import register\n"
        "with DagsterInstance.get() as instance:\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "    register(instance, Ledger(sys.argv[1]), 'glaive')\n"
    )
    url = repr(ledger).removeprefix("Ledger('").removesuffix("')")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert list(instance.get_dynamic_partitions("glaive_versions")) == ledger.keys("glaive")
