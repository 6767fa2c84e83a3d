"""Objectives brought nearer to a normal distribution."""

import numpy as np
from scipy.stats import yeojohnson, yeojohnson_normmax


class Warp:
    """Values made normal: losses are skewed, and one that diverged would hide all differences among the good.

    The scale is that of the largest budget with enough values: how far apart the trained lie counts,
    not how far they are from the untrained.
    """

    ENOUGH = 5

    def __init__(self, values, times):
        reference = values
        for time in sorted(set(times), reverse=True):
            if np.sum(times == time) >= self.ENOUGH:
                reference = values[times == time]
                break
        self._middle = np.median(reference)
        self._spread = np.subtract(*np.percentile(reference, [75, 25])) or np.ptp(reference) or 1.0
        scaled = np.arcsinh((reference - self._middle) / self._spread)
        self._power = float(np.clip(yeojohnson_normmax(scaled), -1, 3)) if np.ptp(scaled) > 1e-9 else 1.0
        warped = yeojohnson(scaled, self._power)
        self._mean, self._deviation = warped.mean(), warped.std() or 1.0

    def __call__(self, values):
        scaled = np.arcsinh((np.asarray(values, float) - self._middle) / self._spread)
        return (yeojohnson(scaled, self._power) - self._mean) / self._deviation

    def inverse(self, warped):
        grid = np.linspace(-12, 12, 4001)
        at = (yeojohnson(grid, self._power) - self._mean) / self._deviation
        return self._middle + self._spread * np.sinh(np.interp(warped, at, grid))
