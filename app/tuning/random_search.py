"""How many draws random search needs."""

import math

from scipy.stats import hypergeom


def probability_of_hit(draws, good, total):
    """Probability that random draws without repetition hit one of the good configurations.

    Formula: `1 - prod_{k < draws} (1 - good / (total - k))`.

    Args:
        draws: Number of draws.
        good: Number of configurations that are good enough.
        total: Number of configurations.

    Returns:
        Probability.

    Raises:
        ValueError: If a number is out of range.

    Reference:
        - Bertrand, thesis, 2019, eq. 2.20 to 2.22.
    """
    if not 0 < good <= total or not 0 <= draws <= total:
        raise ValueError(
            "Expected `0 < good <= total` and `0 <= draws <= total`. "
            f"Received: good={good}, draws={draws}, total={total}"
        )
    return 1.0 - float(hypergeom.pmf(0, total, good, draws))


def certainty(draws, top, total=math.inf):
    """Probability that random draws without repetition hit the top share of a space.

    Args:
        draws: Number of draws.
        top: Share of the configurations that are good enough, in (0, 1].
        total: Number of configurations; infinite where a range is continuous.

    Returns:
        Probability.

    Raises:
        ValueError: If a number is out of range.
    """
    if math.isinf(total):
        return 1.0 - (1.0 - top) ** draws
    return probability_of_hit(min(draws, total), _good(top, total), total)


def _good(top, total):
    return max(1, math.floor(top * total + 1e-9))


def draws_needed(top, probability, total=math.inf):
    """Smallest number of random draws that hit the top share with a probability.

    Args:
        top: Share of the configurations that are good enough, in (0, 1].
        probability: In (0, 1).
        total: Number of configurations; infinite where a range is continuous.

    Returns:
        Integer.

    Raises:
        ValueError: If a number is out of range.

    Reference:
        - Bertrand, thesis, 2019, table 2.2.
    """
    if not 0 < top <= 1 or not 0 < probability < 1:
        raise ValueError(f"Expected shares within (0, 1). Received: top={top}, probability={probability}")
    if math.isinf(total):
        return 1 + math.floor(math.log1p(-probability) / math.log1p(-top)) if top < 1 else 1
    low, high = 1, total
    while low < high:
        middle = (low + high) // 2
        if certainty(middle, top, total) > probability:
            high = middle
        else:
            low = middle + 1
    return low
