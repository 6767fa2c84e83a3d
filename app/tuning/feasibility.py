"""Where configurations fail, learnt from those that did."""

import numpy as np
from scipy.stats import norm

from app.tuning.gaussian_process import GaussianProcess
from app.tuning.kernel import Kernel

EDGE = 0.25  # prior length: what can be trained ends abruptly, where values change smoothly


class Feasibility:
    """Probability that a configuration can be trained.

    Least-squares classification: a Gaussian process on +1 (trained) and -1 (failed), squashed by
    the cumulative normal. Where nothing is known the prior is that of a trainable one.

    Args:
        categorical: Tuple of bool, one a column.

    Reference:
        - Rasmussen and Williams, 2006, section 6.5.
        - Bertrand, thesis, 2019, section 2.6.3: models that were too large, deleted and proposed again.
    """

    def __init__(self, categorical):
        self.kernel = Kernel(categorical)
        self.process = None

    def fit(self, points, trained, rng):
        """Learn from what was tried.

        Args:
            points: Array `(n, columns)`.
            trained: Array `(n,)` of bool.
            rng: `numpy.random.Generator`.

        Returns:
            The model itself.
        """
        trained = np.asarray(trained, bool)
        self.process = None
        if not trained.all():
            # Deviations from "trainable", so that the process falls back to that.
            self.process = GaussianProcess(self.kernel, length=EDGE).learn(points, np.where(trained, 0.0, -2.0), rng)
        return self

    def probability(self, points):
        """Probability of training to the end.

        Args:
            points: Array `(m, columns)`.

        Returns:
            Array `(m,)` in [0, 1].
        """
        if self.process is None:
            return np.ones(len(points))
        mean, deviation = self.process.predict(points)
        return norm.cdf((1.0 + mean) / np.sqrt(0.25 + deviation**2))


class SizeFeasibility:
    """Probability of training by the logarithms of parameters and activations.

    Memory fails by a product of hyper-parameters, which over the configurations themselves takes
    many failures to learn, and over sizes a few. The sizes of candidates are predicted first, from
    those that were counted.

    Args:
        space: `Space`.
        probes: Rows `(n, entries)` and their sizes `(n, 2)`, counted before anything was trained.

    Attributes:
        predicted: Array `(m,)`: probability of each candidate, its size predicted.
    """

    def __init__(self, space, probes):
        self.space = space
        self.probes, self.probe_sizes = probes

    def fit(self, tried, rows, rng):
        """Learn from what was tried, and predict for candidates.

        Args:
            tried: List of `Observation` with sizes.
            rows: Array `(m, entries)` of candidates.
            rng: `numpy.random.Generator`.

        Returns:
            The model itself.
        """
        sizes = np.array([trial.size for trial in tried])
        counted = np.concatenate([self.probe_sizes, sizes])
        self._low, self._extent = counted.min(axis=0), np.maximum(np.ptp(counted, axis=0), 1e-3)
        self._model = Feasibility((False,) * sizes.shape[1])
        self._model.fit(self._scaled(sizes), [np.isfinite(trial.value) for trial in tried], rng)
        points = self.space.features(np.concatenate([self.probes, np.array([trial.row for trial in tried])]))
        candidates, kernel = self.space.features(rows), Kernel(self.space.categorical)
        guesses = []
        for column in self._scaled(counted).T:
            process = GaussianProcess(kernel, length=EDGE).learn(
                points, (column - column.mean()) * 3.0, rng, restarts=0
            )
            guesses.append(process.predict(candidates)[0] / 3.0 + column.mean())
        self.predicted = self._model.probability(np.stack(guesses, axis=1))
        return self

    def probability(self, sizes):
        """Probability of training to the end.

        Args:
            sizes: Array `(m, 2)`.

        Returns:
            Array `(m,)` in [0, 1].
        """
        return self._model.probability(self._scaled(sizes))

    def _scaled(self, sizes):
        return (np.asarray(sizes) - self._low) / self._extent
