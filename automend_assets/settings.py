"""Every environment variable that the project reads, typed and documented in one place.

Nothing else in the package reads the environment; third-party clients read their own (`AWS_*`). `.env.example`
lists the same variables. Secrets are `SecretStr` here and `EnvVar` in Dagster: they never show in a repr, a log,
run config or metadata.
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
