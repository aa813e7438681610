"""The Dagster instance that commands outside a Dagster process use. Nothing about datasets belongs here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from automend_assets.errors import PermanentError
from automend_assets.settings import project_root

if TYPE_CHECKING:
    from dagster import DagsterInstance


class DagsterHomeUnusable(PermanentError):
    """The folder of DAGSTER_HOME cannot be made or written to."""


def ensure_dagster_home() -> Path:
    """Return $DAGSTER_HOME, or the project's own `data/dagster_home`, ready for use.

    The folder is made if it is missing, and gets the project's `dagster.yaml` if it has none; a configuration that
    is there already is never touched. DAGSTER_HOME is set to the absolute path, for Dagster and for child processes.
    Raises DagsterHomeUnusable.
    """
    home = (
        Path(os.environ.get("DAGSTER_HOME") or project_root() / "data" / "dagster_home")
        .expanduser()
        .absolute()
    )
    try:
        home.mkdir(parents=True, exist_ok=True)
        _configure(home)
    except OSError as error:
        raise DagsterHomeUnusable(
            f"Dagster cannot keep its records in {home} ({error.strerror}): set DAGSTER_HOME to a folder that this"
            " user can write to."
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _configure(home: Path) -> None:
    config, ours = home / "dagster.yaml", project_root() / "dagster.yaml"
    if not config.exists() and ours.exists():
        config.unlink(missing_ok=True)
        try:
            config.symlink_to(os.path.relpath(ours.resolve(), home.resolve()))
        except FileExistsError:
            pass  # another process was first
        except OSError:
            shutil.copyfile(ours, config)


def open_instance() -> DagsterInstance:
    """Open the instance of `ensure_dagster_home`; use it as a context manager."""
    from dagster import DagsterInstance

    ensure_dagster_home()
    return DagsterInstance.get()
