"""A hyper-parameter that a network takes as input: its range and its distribution."""

import dataclasses

import numpy as np

# Widest range that makes sense of what every registration loss has; its further terms take any weight from 0 on.
RANGES = {
    "lambda": (0.0, 1.0),
    "gamma": (0.0, 1.0),
    "ncc_window": (1.0, np.inf),
    "nmi_bins": (2.0, np.inf),
}


@dataclasses.dataclass(frozen=True)
class HyperParameter:
    """One hyper-parameter of the registration loss, learned over a range.

    Args:
        name: "lambda" (weight of smoothness, eq. 2), "gamma" (weight of the labels, eq. 3),
            "ncc_window" (voxels), "nmi_bins", or a further term of the loss, whose weight it is. What registers
            declares which it has: see `check_names`.
        low: Lowest value.
        high: Highest value.
        sampling: "uniform", or "log_odds": uniform in `log(value / (1 - value))`, for lambda
            and gamma with end points within (0, 1): as many draws between 0.01 and 0.1 as
            between 0.9 and 0.99.
        endpoints: Probability of drawing one of the two end points instead, each as often
            as the other; without it a network hardly sees them.

    Raises:
        ValueError: If range, sampling or endpoints make no sense.

    Reference:
        - Hoopes et al., HyperMorph, 2021, section 3.1, p(Lambda).
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    sampling: str = "uniform"
    endpoints: float = 0.2

    def __post_init__(self):
        lowest, highest = RANGES.get(self.name, (0.0, np.inf))
        if not lowest <= self.low < self.high <= highest:
            raise ValueError(
                f"{self.name}: expected {lowest} <= low < high <= {highest}. Received: low={self.low}, high={self.high}"
            )
        if self.sampling not in ("uniform", "log_odds"):
            raise ValueError(f"{self.name}: sampling is 'uniform' or 'log_odds'. Received: sampling={self.sampling}")
        if self.sampling == "log_odds" and not 0.0 < self.low < self.high < 1.0:
            raise ValueError(
                f"{self.name}: log_odds sampling needs 0 < low < high < 1, for instance 0.01 and 0.99. "
                f"Received: low={self.low}, high={self.high}"
            )
        if not 0.0 <= self.endpoints <= 1.0:
            raise ValueError(f"{self.name}: endpoints is a probability. Received: endpoints={self.endpoints}")

    def sample(self, rng, count):
        """Draw values.

        Args:
            rng: `numpy.random.Generator`.
            count: How many.

        Returns:
            Float32 array `(count,)` within [low, high].
        """
        share = rng.random(count)
        if self.sampling == "uniform":
            values = self.low + (self.high - self.low) * share
        else:
            low, high = (np.log(value / (1.0 - value)) for value in (self.low, self.high))
            values = 1.0 / (1.0 + np.exp(-(low + (high - low) * share)))
        at_end = rng.random(count) < self.endpoints
        ends = np.where(rng.random(count) < 0.5, self.low, self.high)
        return np.where(at_end, ends, values).astype("float32")

    def grid(self, count):
        """Evenly spaced values from low to high, for evaluation.

        Args:
            count: How many, 2 or more.

        Returns:
            List of floats.
        """
        return [float(value) for value in np.linspace(self.low, self.high, count)]


def check_names(hyper, terms):
    """See that hyper-parameters are known to a loss, and each is there once.

    Args:
        hyper: List of `HyperParameter`.
        terms: Names of the loss's further terms.

    Raises:
        ValueError: If they are not.
    """
    names = [each.name for each in hyper]
    known = [*RANGES, *terms]
    for name in names:
        if name not in known:
            raise ValueError(f"Unknown hyper-parameter '{name}', expected one of {', '.join(known)}.")
    if len(set(names)) != len(names):
        raise ValueError(f"Expected different hyper-parameters. Received: {names}")
