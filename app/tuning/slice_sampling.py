"""Slice sampling, one coordinate after another."""

import numpy as np


def slice_sample(log_density, start, rng, count, skip=0, width=1.0):
    """Draws from a density known up to a constant.

    Args:
        log_density: Function `(array) -> float`, -inf where the density is zero.
        start: Array `(parameters,)` of positive density.
        rng: `numpy.random.Generator`.
        count: Number of draws, one sweep over the coordinates apart.
        skip: Sweeps before the first draw.
        width: First width of a slice; it is stepped out to where the density falls below.

    Returns:
        Array `(count, parameters)`.

    Reference:
        - Neal, Slice sampling, 2003, figures 3 and 5.
    """
    at = np.array(start, float)
    level = log_density(at)
    draws = []
    for sweep in range(skip + count):
        for coordinate in rng.permutation(len(at)):
            at, level = _step(log_density, at, level, coordinate, rng, width)
        if sweep >= skip:
            draws.append(at.copy())
    return np.array(draws)


def _step(log_density, at, level, coordinate, rng, width, most=8):
    def moved(value):
        other = at.copy()
        other[coordinate] = value
        return other, log_density(other)

    height = level - rng.exponential()
    low = at[coordinate] - width * rng.random()
    high = low + width
    for _ in range(most):
        if moved(low)[1] <= height:
            break
        low -= width
    for _ in range(most):
        if moved(high)[1] <= height:
            break
        high += width
    while True:
        value = low + (high - low) * rng.random()
        other, there = moved(value)
        if there > height:
            return other, there
        if value < at[coordinate]:
            low = value
        else:
            high = value
