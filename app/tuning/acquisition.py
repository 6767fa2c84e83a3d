"""What a candidate promises, in closed form; lower values are better."""

import numpy as np
from scipy.stats import norm

FUNCTIONS = ("expected_improvement", "probability_of_improvement")


def expected_improvement(mean, deviation, best):
    """Expected improvement under the lowest value so far.

    Formula: `deviation (u Phi(u) + phi(u))`, `u = (best - mean) / deviation`.

    Args:
        mean: Array of predicted values.
        deviation: Array of predicted deviations, positive.
        best: Lowest value so far.

    Returns:
        Array, non-negative.

    Reference:
        - Bertrand, thesis, 2019, eq. 2.14 and 2.15.
    """
    u = (best - mean) / deviation
    return np.maximum(deviation * (u * norm.cdf(u) + norm.pdf(u)), 0.0)


def probability_of_improvement(mean, deviation, best):
    """Probability of a value under the lowest so far.

    Formula: `Phi((best - mean) / deviation)`.

    Args:
        mean: Array of predicted values.
        deviation: Array of predicted deviations, positive.
        best: Lowest value so far, or a target below it.

    Returns:
        Array in [0, 1].

    Reference:
        - Bertrand, thesis, 2019, eq. 2.13.
    """
    return norm.cdf((best - mean) / deviation)
