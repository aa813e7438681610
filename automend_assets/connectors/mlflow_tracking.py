"""Trainings in an MLflow server, where one is configured: a run per version, and an alias on the model in use.

What belongs here: talking to the tracking server and its model registry through MLflow's client. What does not: what is
recorded (the assets of each dataset). Without MLFLOW_TRACKING_URI nothing happens and nothing is imported.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg

from automend_assets.errors import PermanentError, TransientError
from automend_assets.settings import Settings, revealed

if TYPE_CHECKING:
    from mlflow import MlflowClient

IN_USE = "champion"
_VERSION = "automend.version"
_TRANSIENT = {"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"}


class MlflowMissing(PermanentError):
    """A server is configured and MLflow's client is not installed."""


class MlflowRefused(PermanentError):
    """The server understands the request and refuses it."""


class MlflowUnavailable(TransientError):
    """The server gives no useful answer."""


class MlflowResource(dg.ConfigurableResource["MlflowResource"]):
    """Records what it is given at MLFLOW_TRACKING_URI, an experiment per dataset and a run per version.

    The variable is read when something is recorded, so that no address with a password is part of a configuration.
    """

    def log_run(
        self,
        dataset: str,
        version: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> str | None:
        """Record a version's figures and files; the id of its run, or None where no server is configured.

        A version has one run: what comes later is added, and what is there is not recorded again with another value.
        Raises MlflowMissing, MlflowRefused, MlflowUnavailable.
        """
        uri = revealed(Settings().mlflow_tracking_uri)
        if uri is None:
            return None
        with _asking(uri) as client:
            run = _run(client, dataset, version)
            known = set(run.data.params)
            for name, value in (params or {}).items():
                if name not in known:
                    client.log_param(run.info.run_id, name, value)
            for name, value in (metrics or {}).items():
                # The server keeps every value that a metric had; the same one twice says nothing.
                if run.data.metrics.get(name) != value:
                    client.log_metric(run.info.run_id, name, value)
            with tempfile.TemporaryDirectory(prefix="automend-mlflow-") as folder:
                for name, content in (artifacts or {}).items():
                    file = Path(folder) / name
                    file.write_bytes(content)
                    client.log_artifact(run.info.run_id, str(file))
            return str(run.info.run_id)

    def promote(self, dataset: str, version: str, *, model: Path) -> str | None:
        """Register a version's model file and set the alias `champion` on it; the model's version in the registry.

        Registered once per version; the alias is set each time. Raises as `log_run` does.
        """
        uri = revealed(Settings().mlflow_tracking_uri)
        if uri is None:
            return None
        with _asking(uri) as client:
            name = f"automend-{dataset}"
            found = [one for one in _registered(client, name) if one.tags.get(_VERSION) == version]
            if found:
                registered = found[0]
            else:
                run = _run(client, dataset, version)
                client.log_artifact(run.info.run_id, str(model), "model")
                registered = client.create_model_version(
                    name, f"{run.info.artifact_uri}/model", run.info.run_id, tags={_VERSION: version}
                )
            client.set_registered_model_alias(name, IN_USE, registered.version)
            return str(registered.version)


def _run(client: MlflowClient, dataset: str, version: str) -> Any:
    """The run of a version, made if it is missing."""
    name = f"automend-{dataset}"
    experiment = client.get_experiment_by_name(name)
    identity = experiment.experiment_id if experiment else client.create_experiment(name)
    found = client.search_runs([identity], f"tags.`{_VERSION}` = '{version}'", max_results=1)
    if found:
        return found[0]
    return client.create_run(identity, run_name=f"{dataset}-{version}", tags={_VERSION: version})


def _registered(client: MlflowClient, name: str) -> Iterator[Any]:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _asking(uri: str) -> Iterator[MlflowClient]:
    """A client of the server, whose errors become ours; neither they nor a log repeats the address's password."""
    # The client's own retries add up to minutes, and the step is tried again as a whole.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise MlflowMissing(
            "MLFLOW_TRACKING_URI is set and MLflow's client is not installed: pip install 'automend-assets[mlflow]',"
            " or unset it."
        ) from None
    server = urlsplit(uri).hostname or "a folder"
    try:
        yield MlflowClient(uri)
    except MlflowException as error:
        if error.error_code in _TRANSIENT:
            raise MlflowUnavailable(
                f"The MLflow server {server} gives no useful answer ({error.error_code}): check that it runs and"
                " MLFLOW_TRACKING_URI, or unset that to train without it."
            ) from None
        raise MlflowRefused(
            f"The MLflow server {server} refuses ({error.error_code}): check the rights and MLFLOW_TRACKING_URI."
        ) from None
    except OSError as error:
        raise MlflowUnavailable(
            f"The MLflow server {server} cannot be reached ({type(error).__name__}): check that it runs and"
            " MLFLOW_TRACKING_URI, or unset that to train without it."
        ) from None
