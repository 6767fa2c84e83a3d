"""Config of a cohort: where its images are, and who is for what."""

from pathlib import Path
from typing import Annotated

import pydantic

from app.config import Axis, Config, NanRule, PathPattern
from app.data.intensity import IntensityRule
from app.data.phantoms.config import BrainsConfig
from app.errors import UserError

SPLITS = ("train", "validate", "test")


class SplitConfig(Config):
    """How many subjects, or which share of them, for what."""

    train: float = pydantic.Field(0.8, ge=0, le=1e6)
    """Subjects to train on: a share (two subjects at least, where the cohort has six), or a number where one of the
    three is above 1."""
    validate_: float = pydantic.Field(0.1, ge=0, le=1e6, alias="validate")
    """Subjects to validate on, likewise."""
    test: float = pydantic.Field(0.1, ge=0, le=1e6)
    """Subjects to test on, likewise."""

    def counts(self, total, least=0):
        """Numbers of subjects.

        Args:
            total: Size of the cohort.
            least: How many each part needs; a share that comes to fewer takes so many, where the cohort
                has enough for all three.

        Returns:
            Dict from split to count. Shares (all at most 1) are rounded; where they sum to 1
            nobody is left out. Counts are taken as they are.

        Raises:
            UserError: If the cohort is too small.
        """
        wanted = dict(zip(SPLITS, (self.train, self.validate_, self.test), strict=True))
        if max(wanted.values()) <= 1:
            least = least if total >= 3 * least else 0
            counts = {name: max(round(share * total), least if share else 0) for name, share in wanted.items()}
            if abs(sum(wanted.values()) - 1.0) < 1e-6:
                counts["train"] = total - counts["validate"] - counts["test"]
        else:
            counts = {name: int(count) for name, count in wanted.items()}
        if sum(counts.values()) > total or min(counts.values()) < 0:
            raise UserError(f"data.split: {counts} do not fit a cohort of {total}; lower the counts or add subjects")
        return counts


class CohortConfig(IntensityRule):
    """Where the images are, and what is done with them."""

    cohort: Path | None = None
    """CSV with the columns subject, image and perhaps labels, paths relative to it; give this, or images, or
    phantom."""
    images: PathPattern | None = None
    """Glob pattern of the images, in place of a CSV."""
    labels: PathPattern | None = None
    """Glob pattern of the label maps; its wildcards pair them with the images."""
    phantom: BrainsConfig | None = None
    """Simulate a cohort of brains instead of reading images."""
    label_names: Path | None = None
    """CSV with the columns index and name; by default a labels.csv beside the cohort, else labels have their numbers as
    names."""
    structures: list[Annotated[int, pydantic.Field(ge=0, lt=2**32)]] | None = pydantic.Field(None, max_length=10_000)
    """Label values that are compared; by default all that occur."""
    allow_absent_labels: bool = False
    """Whether a label is left out for subjects that lack it; else they are refused."""
    shape: list[Axis] | None = pydantic.Field(None, min_length=2, max_length=3)
    """Voxels along each axis to which images are cropped or padded about their centre; by default the largest along
    each axis."""
    nan: NanRule = "refuse"
    """What is done with voxels that are NaN, such as the border that resampling leaves: refused, or read as 0 and
    counted in a line."""
    split: SplitConfig = SplitConfig()
    """Which subjects are for training, validation and test: dealt by the seed, a subject is in one of them alone."""
    pairs: int = pydantic.Field(20, ge=1, le=1_000_000)
    """Pairs of test subjects that are measured, at most; drawn by the seed."""
    cache_gib: float = pydantic.Field(1.0, gt=0, le=1e6)
    """Memory for prepared images, in GiB; the rest is read again from disk."""
