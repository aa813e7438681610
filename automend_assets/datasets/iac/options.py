"""Every figure and list that decides which manifests are kept, with its default: one model, written into the
manifest.

Only the declaration; what the filters do with it is in `filters.py`, the redaction in `redaction.py`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from automend_assets.contracts.balancing import MAX_COPIES, TARGET_SHARE
from automend_assets.datasets.iac.documents import Limits


class IacOptions(BaseModel):
    """The options of a version, all of them written into its manifest."""

    # Tuples from JSON lists: a manifest's options are read back with this model.
    model_config = ConfigDict(extra="forbid", frozen=True)

    min_bytes: int = Field(default=200, ge=0, description="Shorter files are refused.")
    max_bytes: int = Field(default=200_000, ge=1, description="Longer files are refused.")
    min_alphanumeric: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Least share of letters and digits among the characters of a file.",
    )
    extensions: tuple[str, ...] = Field(default=("yaml", "yml"), description="Extensions of the files taken.")
    required_fields: tuple[str, ...] = Field(
        default=("apiVersion", "kind", "metadata"), description="Fields that a file must have."
    )
    max_depth: int = Field(default=Limits().depth, ge=1, description="Deepest nesting of a document.")
    max_documents: int = Field(default=Limits().documents, ge=1, description="Most documents in a file.")
    max_nodes: int = Field(
        default=Limits().nodes, ge=1, description="Most nodes of a file, with what its aliases stand for."
    )
    licences: tuple[str, ...] = Field(
        default=(
            "mit",
            "apache-2.0",
            "bsd-2-clause",
            "bsd-3-clause",
            "isc",
            "cc0-1.0",
            "unlicense",
            "wtfpl",
            "0bsd",
        ),
        description="SPDX ids, in lower case; every licence of a file must be one of them.",
    )
    keywords: dict[str, tuple[str, ...]] = Field(
        default={
            "gpu": ("nvidia.com/gpu", "amd.com/gpu", "accelerator", "gpu"),
            "serving": (
                "kserve",
                "seldon",
                "inferenceservice",
                "servingruntime",
                "seldondeployment",
                "predictor",
                "storageuri",
            ),
            "mlops": ("kubeflow", "mlflow", "inference", "serving", "pipeline", "workflow"),
        },
        description="Words and fields of ML infrastructure by group; a file must have one of them.",
    )
    near_duplicate: float = Field(
        default=0.85, gt=0, le=1, description="A manifest this similar to one that is kept is dropped."
    )
    max_iac_type_share: float = Field(
        default=0.40, gt=0, le=1, description="Largest share of an iac_type in the balanced file."
    )
    balance_target_share: float = Field(
        default=TARGET_SHARE, gt=0, le=0.5, description="Share that a rare slice value is brought up to."
    )
    balance_max_copies: int = Field(
        default=MAX_COPIES, ge=1, description="How often a record may appear in the balanced file at most."
    )

    @property
    def limits(self) -> Limits:
        """The limits of the YAML reader."""
        return Limits(self.max_depth, self.max_documents, self.max_nodes)
