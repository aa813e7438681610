"""What only this dataset understands of a manifest: the model to start from, how to train, how versions count.

What belongs here: the options, as they are pinned in a manifest. What does not: finding out what a base model is when
a version is cut (`source.py`), and training (`training.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from automend_assets.datasets.typos.training import TrainingOptions

SPLIT_SEED = 42

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Pinned(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundledBase(_Pinned):
    """The offline default, untrained: character n-grams made from a seed."""

    kind: Literal["bundled"] = "bundled"
    seed: Annotated[int, Field(ge=0)] = 42


class PromotedBase(_Pinned):
    """The model that was in use when the version was cut; `sha256` is that of its `finetuned_model.zip`."""

    kind: Literal["promoted"] = "promoted"
    version: str
    sha256: Sha256


class HubBase(_Pinned):
    """A model of the Hub at one commit. `path` is empty for the repo itself, else a folder or a zip in it."""

    kind: Literal["hub"] = "hub"
    repo: Annotated[str, Field(min_length=1)]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: str = ""


class FolderBase(_Pinned):
    """A sentence-transformers folder on this machine; `sha256` is that of its packed form."""

    kind: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1)]
    sha256: Sha256


Base = Annotated[BundledBase | PromotedBase | HubBase | FolderBase, Field(discriminator="kind")]


class RequestedOptions(BaseModel):
    """The options as somebody asks for them when a version is cut.

    `base` is `auto` (the model in use, else the newest of AUTOMEND_HUB_MODEL_REPO, else the bundled one), `bundled`,
    `hub` or `folder:PATH`; None is `auto` for interactions of the log and `bundled` for files, whose versions are to
    be the same wherever and whenever they are cut.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str | None = None
    training: TrainingOptions = TrainingOptions()
    half_life: Annotated[float, Field(gt=0)] = 8.0


class TyposOptions(BaseModel):
    """The options as a manifest pins them.

    `half_life` is the number of versions after which a pair counts half in training; `split_seed` decides which
    corrections are tested. Nobody is asked for it: with another one a model would be tested on what the one in use was
    trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Base
    training: TrainingOptions
    half_life: Annotated[float, Field(gt=0)]
    split_seed: Annotated[int, Field(ge=0)]
