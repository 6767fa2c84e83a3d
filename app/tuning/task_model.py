"""A task of this project as Keras Tuner's hyper-model."""

import keras_tuner as kt

from app.config import with_values
from app.errors import UserError
from app.tuning.declare import chosen


class TaskModel(kt.HyperModel):
    """Builds and trains what a task's config says, with a trial's values in it.

    Args:
        task: What the task's `Trials` offers: `build(config)`, `fit(config, model, **fit_arguments)`.
        base: The task's config.
        space: Dict from key to `RangeConfig`.
    """

    def __init__(self, task, base, space):
        super().__init__()
        self.task, self.base, self.space = task, base, space

    def config(self, hp):
        """Config of a trial.

        Args:
            hp: `keras_tuner.HyperParameters` with values.

        Returns:
            `TaskConfig`.
        """
        return with_values(self.base, chosen(self.space, hp.values))

    def build(self, hp):
        """See `keras_tuner.HyperModel`; values that do not go together make a failed trial."""
        try:
            return self.task.build(self.config(hp))
        except UserError as error:
            raise kt.errors.FailedTrialError(str(error)) from None

    def fit(self, hp, model, **kwargs):
        """See `keras_tuner.HyperModel`."""
        return self.task.fit(self.config(hp), model, **kwargs)
