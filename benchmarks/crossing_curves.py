"""A simulator of learning curves that cross: small networks are fast, and then overfit.

The failure that the thesis reports (section 2.5.4, figure 2.11): after a short training small
networks lead; they have converged by then, and their loss rises again, while large ones end lower.
"""

import keras_tuner as kt
import numpy as np


class CrossingCurves:
    """Losses and times of configurations, epoch by epoch.

    Args:
        seed: Integer; another seed is another task.
        epochs: Length of a full training.
        noise: Deviation of a loss.
    """

    def __init__(self, seed=0, epochs=27, noise=0.005):
        rng = np.random.default_rng([seed, 17])
        self.seed, self.epochs, self.noise = seed, epochs, noise
        self.best_rate = rng.uniform(-3.2, -2.2)
        self.best_kind = int(rng.integers(3))
        self.best_dropout = rng.uniform(0.2, 0.6)
        self.tilt = rng.uniform(0.8, 1.2)

    @staticmethod
    def hyperparameters():
        """The space: size, rate, regularisation and kind.

        Returns:
            `keras_tuner.HyperParameters`.
        """
        hp = kt.HyperParameters()
        hp.Int("width", 4, 256, sampling="log")
        hp.Int("depth", 1, 6)
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        hp.Float("dropout", 0.0, 0.8)
        hp.Choice("kind", ["a", "b", "c"])
        return hp

    def seconds(self, values):
        """Time of an epoch.

        Args:
            values: Dict of a configuration.

        Returns:
            Seconds.
        """
        return 2.0 + 20.0 * self._size(values)

    def curve(self, values):
        """Validation loss after each epoch.

        Args:
            values: Dict of a configuration.

        Returns:
            Array `(epochs,)`.
        """
        size = self._size(values)
        rate = np.log10(values["rate"]) - self.best_rate
        epochs = np.arange(1, self.epochs + 1)
        speed = 0.35 * np.exp(-0.5 * (rate / 0.8) ** 2) * (1.6 - 1.45 * size) ** 2 + 0.01
        floor = 0.25 + self.tilt * 0.55 * (1 - size) ** 2 + 0.05 * rate**2
        floor += 0.25 * (values["dropout"] - self.best_dropout) ** 2
        floor += [0.0, 0.04, 0.08]["abc".index(values["kind"]) - self.best_kind]
        overfit = 0.02 * (1 - size) ** 2 * np.maximum(epochs * speed - 2.0, 0.0)
        loss = floor + (2.3 - floor) * np.exp(-speed * epochs) + overfit
        key = [self.seed, *np.frombuffer(repr(sorted(values.items())).encode(), np.uint8)]
        return loss + self.noise * np.random.default_rng(key).normal(size=self.epochs)

    def optimum(self, draws=3000):
        """Lowest and highest loss after a full training, of many configurations.

        Args:
            draws: How many.

        Returns:
            Two floats.
        """
        from app.tuning.space import Space

        space = Space(self.hyperparameters())
        rows = space.draw(draws, np.random.default_rng(0))
        losses = [self.curve(space.values(row)).min() for row in rows]
        return min(losses), max(losses)

    def _size(self, values):
        return (np.log2(values["width"]) - 2) / 6 * 0.7 + (values["depth"] - 1) / 5 * 0.3
