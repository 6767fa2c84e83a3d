"""LCBench's learning curves (YAHPO Gym's surrogate) as a task to search."""

import keras_tuner as kt
import numpy as np

RANGES = {
    "batch_size": (16, 512, "log"),
    "learning_rate": (1e-4, 1e-1, "log"),
    "momentum": (0.1, 0.99, "linear"),
    "weight_decay": (1e-5, 1e-1, "linear"),
    "num_layers": (1, 5, "linear"),
    "max_units": (64, 1024, "log"),
    "max_dropout": (0.0, 1.0, "linear"),
}
WHOLE = ("batch_size", "num_layers", "max_units")


class LCBench:
    """Validation errors and times of the nearest of 2,000 configurations, epoch by epoch.

    Args:
        file: `lcbench_table.npz`.
        task: Index of the OpenML task.
        epochs: Length of a full training.
    """

    def __init__(self, file, task, epochs=27):
        table = np.load(file)
        names = [str(name) for name in table["config_names"]]
        metrics = table["metrics"][task].astype(float)
        measured, wanted = table["epochs"].astype(float), np.arange(1, epochs + 1, dtype=float)
        which = [str(name) for name in table["metric_names"]]

        def along(metric):
            values = metrics[:, :, which.index(metric)]
            return np.array([np.interp(wanted, measured, row) for row in values])

        self.epochs = epochs
        self.errors = 1.0 - along("val_accuracy") / 100.0
        self.times = np.maximum.accumulate(along("time"), axis=1)
        columns = {name: table["configs"][:, names.index(name)].astype(float) for name in RANGES}
        self._places = np.stack([_place(name, columns[name]) for name in RANGES], axis=1)

    @staticmethod
    def hyperparameters():
        """The space of the table.

        Returns:
            `keras_tuner.HyperParameters`.
        """
        hp = kt.HyperParameters()
        for name, (low, high, scale) in RANGES.items():
            (hp.Int if name in WHOLE else hp.Float)(name, low, high, sampling=scale)
        return hp

    def seconds(self, values):
        """Mean time of an epoch."""
        return float(self.times[self._nearest(values), -1] / self.epochs)

    def curve(self, values):
        """Validation error after each epoch, `(epochs,)`."""
        return self.errors[self._nearest(values)]

    def optimum(self):
        """Lowest and highest error of any configuration at its best epoch."""
        lowest = self.errors.min(axis=1)
        return float(lowest.min()), float(lowest.max())

    def _nearest(self, values):
        place = np.array([_place(name, values[name]) for name in RANGES])
        return int(np.argmin(((self._places - place) ** 2).sum(axis=1)))


def _place(name, value):
    low, high, scale = RANGES[name]
    if scale == "log":
        return np.log(np.asarray(value, float) / low) / np.log(high / low)
    return (np.asarray(value, float) - low) / (high - low)
