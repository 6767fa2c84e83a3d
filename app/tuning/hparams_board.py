"""TensorBoard's HParams page of a search: one entry per configuration. TensorFlow only."""

import shutil
from pathlib import Path

REASON = "failed_because"


class HParamsBoard:
    """Event files below a folder: the domains once, and the epochs of each configuration.

    Promotions go on in the entry of the trial that they go on with. A configuration that failed has the status
    "failure", and the reason in a column of its own.

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
                    hparams=[
                        *(api.HParam(name, self._domain(*domain)) for name, domain in space.domains().items()),
                        api.HParam(REASON),
                    ],
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
                self._api.hparams(_own(values), trial_id=str(name))
                self._begun.add(name)
            for metric, value in entry.items():
                if metric != "epoch":
                    self._tf.summary.scalar(metric, value)
        writer.close()

    def fail(self, name, values, reason, curve):
        """Note that a configuration failed, and why: its entry is rewritten, since TensorBoard reads values once.

        Args:
            name: First trial of the configuration.
            values: Its values.
            reason: One line.
            curve: List of its epochs, as `write` was given them.
        """
        from tensorboard.plugins.hparams import api_pb2, summary

        folder = self.folder / f"configuration_{name}"
        shutil.rmtree(folder, ignore_errors=True)
        writer = self._tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=0):
            self._api.hparams({**_own(values), REASON: reason}, trial_id=str(name))
            end = summary.session_end_pb(api_pb2.STATUS_FAILURE)
            self._tf.summary.experimental.write_raw_pb(end.SerializeToString())
        writer.close()
        self._begun.add(name)
        for entry in curve:
            self.write(name, values, entry)

    def _domain(self, choices, low, high):
        api = self._api
        if choices is not None:
            return api.Discrete(choices)
        return api.RealInterval(float(low), float(high))


def _own(values):
    return {key: value for key, value in values.items() if not key.startswith("tuner/")}
