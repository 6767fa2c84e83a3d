"""Which subjects train, validate and test."""

import pydantic

from app.config import Config
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


def split_cohort(subjects, split, seed, least=0):
    """Deal subjects to training, validation and test.

    Args:
        subjects: List of `Subject`, or of their names.
        split: `SplitConfig`.
        seed: Integer; the same seed deals alike.
        least: As for `SplitConfig.counts`.

    Returns:
        Dict from "train", "validate", "test" to a list of them.

    Raises:
        UserError: If the cohort is too small for the split.
    """
    import numpy as np  # as in `app.data.intensity`

    counts = split.counts(len(subjects), least)
    order = np.random.default_rng(seed).permutation(len(subjects))
    parts, start = {}, 0
    for name in SPLITS:
        parts[name] = [subjects[index] for index in sorted(order[start : start + counts[name]])]
        start += counts[name]
    return parts
