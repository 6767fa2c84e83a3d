"""The rule by which a network's images are brought to [0, 1]: one for all tasks, kept in the model's contract."""

from typing import Literal

import pydantic

from app.config import Config
from app.errors import UserError
from app.notes import note

NARROW, MOST = 0.1, (5.0, 95.0)


class IntensityRule(Config):
    """Which values become 0 and 1; see `nets.ops.intensity.to_unit_range`, the same rule within a graph.

    Base of the `data` section of every config, whose keys it gives.
    """

    low_percentile: float = pydantic.Field(0.5, ge=0, lt=100)
    """Percentile of the intensities that becomes 0."""
    high_percentile: float = pydantic.Field(99.5, gt=0, le=100)
    """Percentile of the intensities that becomes 1."""
    background: Literal["excluded", "included"] = "excluded"
    """Whether the background, voxels of the smallest value, counts towards the percentiles; where it is 0 and does not
    count, 0 stays 0."""

    @pydantic.model_validator(mode="after")
    def _percentiles_in_order(self):
        if self.low_percentile >= self.high_percentile:
            raise ValueError("low_percentile must be below high_percentile")
        return self

    @property
    def intensity_rule(self):
        """The rule alone."""
        return IntensityRule(**{name: getattr(self, name) for name in IntensityRule.model_fields})

    def unit_range(self, array, name=None):
        """An image in [0, 1].

        Args:
            array: Image, finite.
            name: Of its file: where nine tenths of its voxels get less than a tenth of the values, that is said.

        Returns:
            Array of the same shape, float32.

        Raises:
            UserError: If every voxel is the same.
        """
        import numpy as np  # a tenth of a second, which those who ask for keys need not wait

        values = np.asarray(array, "float32").ravel()
        least = values.min()
        if self.background == "excluded":
            values = values[values > least]
        if not len(values) or least == values.max():
            raise UserError(f"every voxel is {least:g}; there is nothing to see")
        low, *most, high = np.percentile(values, (self.low_percentile, *MOST, self.high_percentile))
        if self.background == "excluded" and least == 0:
            low = 0.0
        if high <= low:  # nearly all voxels are the same
            low, high = least, values.max()
        share = (most[1] - most[0]) / (high - low)
        if share < NARROW and name:
            note(
                f"{name}: nine tenths of its voxels share {100 * share:.1f} % of the range from {low:g} to {high:g} "
                "that the network sees: a few very bright or dark voxels flatten the rest; mask them, or train with "
                "other percentiles"
            )
        return np.clip((np.asarray(array, "float32") - low) / (high - low), 0, 1).astype("float32")
