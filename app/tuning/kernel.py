"""Covariance of two configurations, after some time of training or at the end of it."""

import dataclasses

import numpy as np
from scipy.spatial.distance import cdist

SHAPES = ("matern", "matern_3_2", "squared_exponential")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Stationary covariance over mixed columns, a length for each (ARD), and over training time.

    Formula: `k(x, x') = amplitude^2 f(r)`, `r^2 = sum_c d_c(x, x')^2 / length_c^2`, where `d_c` is
    the difference of numbers or, for categories, 1 where they differ (Hamming).
    With training time, the points' last column, in shares of the full budget:

    `k((x, t), (x', t')) = amplitude^2 f(r) + particular^2 [x = x'] + own^2 f(s) d + common^2 d`,
    `d = (decay / (t + t' + decay))^power`:

    a configuration's value at the end of training, what no neighbour says about it, a decaying departure
    of its own (`s` is the distance by lengths of its own: what makes a network fast is not what makes
    it good), and one that all share. What an early observation says of the end does not fall back to the prior,
    because the first part does not know of time.

    Args:
        categorical: Tuple of bool, one a column (without time).
        shape: "matern" (5/2), "matern_3_2" (rougher) or "squared_exponential" (the smoothest).
        over_time: Whether points carry training time.

    Raises:
        ValueError: If the shape is unknown.

    Reference:
        - Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 4.
        - Swersky et al., Freeze-thaw Bayesian optimization, 2014, section 3.1 (decay).
        - Bertrand, thesis, 2019, sections 2.2.1.3 and 2.5.4.
    """

    categorical: tuple
    shape: str = "matern"
    over_time: bool = False

    def __post_init__(self):
        if self.shape not in SHAPES:
            raise ValueError(f"Received an invalid value for `shape`, expected one of {SHAPES}. Received: {self.shape}")

    @property
    def parameters(self):
        """Names of the logarithmic parameters, in their order."""
        columns = range(len(self.categorical))
        still = ["amplitude", *(f"length_{column}" for column in columns)]
        if not self.over_time:
            return still
        return [
            *still,
            "own",
            *(f"own_length_{column}" for column in columns),
            "particular",
            "common",
            "decay",
            "power",
        ]

    def __call__(self, a, b, theta):
        """Covariance matrix.

        Args:
            a: Array `(n, columns[ + 1])`.
            b: Array `(m, columns[ + 1])`.
            theta: Array of the logarithms of `parameters`.

        Returns:
            Array `(n, m)`.
        """
        still, own, particular, common, decay = self._split(theta)
        distance = self._squared_distance(a, b, still[1:])
        covariance = still[0] ** 2 * self._profile(distance)[0]
        if not self.over_time:
            return covariance
        covariance += particular**2 * (distance == 0)
        decayed = self._decay(a, b, *decay)[0]
        departure = own[0] ** 2 * self._profile(self._squared_distance(a, b, own[1:]))[0]
        return covariance + (departure + common**2) * decayed

    def diagonal(self, a, theta):
        """Variance of each point.

        Args:
            a: Array `(n, columns[ + 1])`.
            theta: Array of the logarithms of `parameters`.

        Returns:
            Array `(n,)`.
        """
        still, own, particular, common, decay = self._split(theta)
        variance = np.full(len(a), still[0] ** 2)
        if not self.over_time:
            return variance
        return (
            variance + particular**2 + (own[0] ** 2 + common**2) * (decay[0] / (2.0 * a[:, -1] + decay[0])) ** decay[1]
        )

    def with_gradient(self, a, theta):
        """Covariance matrix of points with themselves, and its derivatives.

        Args:
            a: Array `(n, columns[ + 1])`.
            theta: Array of the logarithms of `parameters`.

        Returns:
            Array `(n, n)`, and a generator of its derivatives `(n, n)` by each of `theta`.
        """
        still, own, particular, common, decay = self._split(theta)
        covariance, derivatives = self._part(a, still)
        if not self.over_time:
            return covariance, derivatives
        decayed, share = self._decay(a, a, *decay)
        departure, own_derivatives = self._part(a, own)
        decaying = (departure + common**2) * decayed
        same = particular**2 * (self._squared_distance(a, a, still[1:]) == 0)

        def all_derivatives():
            yield from derivatives
            for derivative in own_derivatives:
                yield derivative * decayed
            yield 2.0 * same
            yield 2.0 * common**2 * decayed
            yield decaying * decay[1] * (1.0 - share)  # d log d / d log decay
            yield decaying * decay[1] * np.log(share)

        return covariance + same + decaying, all_derivatives()

    def _split(self, theta):
        """Amplitude and lengths of the end, those of the departure, the particular, what all share, and the decay."""
        values, count = np.exp(theta), 1 + len(self.categorical)
        if not self.over_time:
            return values, None, None, None, None
        return values[:count], values[count : 2 * count], values[-4], values[-3], values[-2:]

    def _part(self, a, values):
        """Amplitude and profile over the points, and the derivatives by amplitude and lengths."""
        profile, slope = self._profile(self._squared_distance(a, a, values[1:]))
        covariance = values[0] ** 2 * profile

        def derivatives():
            yield 2.0 * covariance
            for column, length in enumerate(values[1:]):
                # d r^2 / d log length = -2 d_c^2 / length^2
                yield values[0] ** 2 * slope * (-2.0 / length**2) * self._column(a, a, column)

        return covariance, derivatives()

    def _profile(self, squared):
        """f and its derivative by r^2."""
        if self.shape == "squared_exponential":
            f = np.exp(-0.5 * squared)
            return f, -0.5 * f
        if self.shape == "matern_3_2":
            root = np.sqrt(3.0 * squared)
            decay = np.exp(-root)
            return (1.0 + root) * decay, -1.5 * decay
        root = np.sqrt(5.0 * squared)
        decay = np.exp(-root)
        return (1.0 + root + root**2 / 3.0) * decay, -(5.0 / 6.0) * (1.0 + root) * decay

    def _squared_distance(self, a, b, lengths):
        weights = lengths**-2.0
        words = np.array(self.categorical, bool)
        numbers = np.flatnonzero(~words)
        a, b = a[:, : len(words)], b[:, : len(words)]
        scale = np.sqrt(weights[numbers])
        total = cdist(a[:, numbers] * scale, b[:, numbers] * scale, "sqeuclidean")
        if words.any():
            differing = cdist(a[:, words], b[:, words], "hamming", w=weights[words])
            total += weights[words].sum() * differing
        return total

    def _column(self, a, b, column):
        left, right = a[:, column, None], b[None, :, column]
        return (left != right).astype(float) if self.categorical[column] else (left - right) ** 2

    @staticmethod
    def _decay(a, b, decay, power):
        """The decay, and its base."""
        share = decay / (a[:, -1, None] + b[None, :, -1] + decay)
        return share**power, share
