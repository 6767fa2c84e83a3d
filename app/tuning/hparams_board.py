"""TensorBoard's HParams page of a search: one entry a configuration. TensorFlow only."""

from pathlib import Path


class HParamsBoard:
    """Event files below a folder: the domains once, and the epochs of each configuration.

    Promotions go on in the entry of the trial that they go on with.

    Args:
        folder: Where TensorBoard looks.
        space: `Space`, for the domains; None where another process (the chief) writes them.
        objective: Name of the metric.
    """

    def __init__(self, folder, objective, space=None):
        import tensorflow as tf
        from tensorboard.plugins.hparams import api

        self._tf, self._api = tf, api
        self.folder, self.objective = Path(folder), objective
        self._begun = set()
        if space is not None and not list(self.folder.glob("events*")):
            with tf.summary.create_file_writer(str(self.folder)).as_default():
                api.hparams_config(
                    hparams=[api.HParam(name, self._domain(*domain)) for name, domain in space.domains().items()],
                    metrics=[api.Metric(objective), api.Metric("train_seconds")],
                )

    def write(self, name, values, entry):
        """Add an epoch.

        Args:
            name: First trial of the configuration.
            values: Its values; those of the tuner's own bookkeeping are left out.
            entry: Dict with `epoch` and the metrics.
        """
        writer = self._tf.summary.create_file_writer(str(self.folder / f"configuration_{name}"))
        with writer.as_default(step=entry["epoch"]):
            if name not in self._begun:
                own = {key: value for key, value in values.items() if not key.startswith("tuner/")}
                self._api.hparams(own, trial_id=str(name))
                self._begun.add(name)
            for metric, value in entry.items():
                if metric != "epoch":
                    self._tf.summary.scalar(metric, value)
        writer.close()

    def _domain(self, choices, low, high):
        api = self._api
        if choices is not None:
            return api.Discrete(choices)
        return api.RealInterval(float(low), float(high))
