"""Every environment variable that the project reads, typed and documented in one place.

Nothing else in the package reads these; what belongs to others (`AWS_*`, `DAGSTER_HOME`) is read as they do.
`.env.example` lists the same variables. Secrets are `SecretStr` here and `EnvVar` in Dagster: they never show in a
repr, a log, run config or metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from dotenv import load_dotenv
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def project_root() -> Path:
    """The folder that defaults refer to: the checkout, or the working directory for an installed package."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def load_env_files() -> None:
    """Read `.env` of the working directory, then of the project, into the environment.

    A variable that is set already stays as it is, so the shell wins over the files. The variables go into
    the environment itself, since S3 and Hub clients look for theirs there.
    """
    for folder in dict.fromkeys((Path.cwd(), project_root())):
        load_dotenv(folder / ".env", override=False)


def revealed(secret: SecretStr | None) -> str | None:
    """The text of a secret that may not be set, for whoever connects with it."""
    return secret.get_secret_value() if secret else None


def _default_store() -> str:
    return str(project_root() / "data" / "store")


def _default_ledger() -> SecretStr:
    return SecretStr(f"sqlite:///{project_root() / 'data' / 'ledger.sqlite'}")


def _default_pins() -> Path:
    return project_root() / "data" / "remote"


class Settings(BaseSettings):
    """The settings of one process, read from the environment when it is created."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    store_url: Annotated[
        str,
        Field(
            validation_alias="AUTOMEND_STORE",
            description="Where artifacts live: a folder, or s3://bucket/prefix.",
        ),
    ] = Field(default_factory=_default_store)
    ledger_url: Annotated[
        SecretStr,
        Field(
            validation_alias="AUTOMEND_LEDGER",
            description="The database of versions: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DB.",
        ),
    ] = Field(default_factory=_default_ledger)
    executor: Annotated[
        Literal["in_process", "multiprocess"],
        Field(
            validation_alias="AUTOMEND_EXECUTOR",
            description="Whether the steps of a run share one process or have one each.",
        ),
    ] = "in_process"
    workers: Annotated[
        int | None,
        Field(
            validation_alias="AUTOMEND_WORKERS",
            ge=1,
            description="Threads or processes for row-level work; by default one per core.",
        ),
    ] = None
    dvc_remote: Annotated[
        str | None,
        Field(
            validation_alias="AUTOMEND_DVC_REMOTE",
            description="DVC remote that releases are pushed to: a name, URL or absolute path. Unset: only pinned.",
        ),
    ] = None
    pins_folder: Annotated[
        Path,
        Field(
            validation_alias="AUTOMEND_PINS",
            description="Where the DVC pins of a store on S3 are kept; those of a folder lie in it.",
        ),
    ] = Field(default_factory=_default_pins)
    hf_endpoint: Annotated[
        str,
        Field(validation_alias="HF_ENDPOINT", description="The Hugging Face Hub, or a mirror of it."),
    ] = "https://huggingface.co"
    hf_token: Annotated[
        SecretStr | None,
        Field(validation_alias="HF_TOKEN", description="Token for gated or private repos on the Hub."),
    ] = None
    slack_bot_token: Annotated[
        SecretStr | None,
        Field(validation_alias="SLACK_BOT_TOKEN", description="Bot token that posts alerts."),
    ] = None
    slack_channel: Annotated[
        str | None,
        Field(validation_alias="SLACK_CHANNEL", description="Channel that the bot posts alerts to."),
    ] = None
    slack_webhook_url: Annotated[
        SecretStr | None,
        Field(
            validation_alias="SLACK_WEBHOOK_URL",
            description="Incoming webhook for alerts, in place of a bot token and channel.",
        ),
    ] = None
    supabase_db_url: Annotated[
        SecretStr | None,
        Field(
            validation_alias="SUPABASE_DB_URL",
            description="Postgres with the table of corrections: postgresql://USER:PASSWORD@HOST/DB.",
        ),
    ] = None
    supabase_url: Annotated[
        str | None,
        Field(
            validation_alias="SUPABASE_URL",
            description="Supabase project with that table, over HTTP: https://PROJECT.supabase.co.",
        ),
    ] = None
    supabase_service_key: Annotated[
        SecretStr | None,
        Field(validation_alias="SUPABASE_SERVICE_KEY", description="Secret key of the Supabase project."),
    ] = None
    supabase_anon_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias="SUPABASE_ANON_KEY",
            description="Publishable key, in place of the secret one where a policy lets it read.",
        ),
    ] = None
    interactions_file: Annotated[
        Path | None,
        Field(
            validation_alias="AUTOMEND_INTERACTIONS",
            description="SQLite file with that table, where no server is set; by default data/interactions.sqlite.",
        ),
    ] = None
    settle_seconds: Annotated[
        float,
        Field(
            validation_alias="AUTOMEND_SETTLE_SECONDS",
            ge=0,
            description="Over HTTP: age from which a correction counts as settled, see docs/typos.md.",
        ),
    ] = 120.0
    cut_min_rows: Annotated[
        int,
        Field(
            validation_alias="AUTOMEND_CUT_MIN_ROWS",
            ge=1,
            description="New corrections at which the sensor cuts a version.",
        ),
    ] = 500
    cut_max_age_hours: Annotated[
        float,
        Field(
            validation_alias="AUTOMEND_CUT_MAX_AGE_HOURS",
            ge=0,
            description="Age of the oldest new correction at which the sensor cuts a version of fewer.",
        ),
    ] = 24.0
    cut_max_rows: Annotated[
        int,
        Field(
            validation_alias="AUTOMEND_CUT_MAX_ROWS",
            ge=1,
            description="Corrections of one version at most; more are cut into several.",
        ),
    ] = 50_000
    cut_interval_seconds: Annotated[
        int,
        Field(
            validation_alias="AUTOMEND_CUT_INTERVAL_SECONDS",
            ge=1,
            description="Time between two looks of the sensor.",
        ),
    ] = 60
    hub_model_repo: Annotated[
        str | None,
        Field(
            validation_alias="AUTOMEND_HUB_MODEL_REPO",
            description="Model repo on the Hub, OWNER/NAME: to start from, and to publish to with a token.",
        ),
    ] = None
    mlflow_tracking_uri: Annotated[
        SecretStr | None,
        Field(
            validation_alias="MLFLOW_TRACKING_URI",
            description="MLflow server that trainings are recorded in; unset: none. Needs the extra 'mlflow'.",
        ),
    ] = None
    api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias="AUTOMEND_API_KEY",
            description="Key that the service asks for before it records a correction; unset: it records none.",
        ),
    ] = None
    interactions_rate: Annotated[
        str,
        Field(
            validation_alias="AUTOMEND_INTERACTIONS_RATE",
            description="Corrections that the service records from one client at most, such as 60/minute.",
        ),
    ] = "60/minute"
    model_poll_seconds: Annotated[
        float,
        Field(
            validation_alias="AUTOMEND_MODEL_POLL_SECONDS",
            gt=0,
            description="Time between two looks of the service for another model in use.",
        ),
    ] = 1.0
