"""What a search trains and measures: the steps of a system, over one cohort in memory."""

from app.training.callbacks import Validate


class Trials:
    """Trainings of a system with different configs.

    Args:
        steps: `app.systems.steps.Steps`.
    """

    def __init__(self, steps):
        self.steps = steps

    @property
    def objectives(self):
        """Names of what is reported every epoch."""
        return self.steps.objectives

    def build(self, config):
        """A compiled network of a config."""
        model = self.steps.build(config)
        self.steps.compile(config, model)
        return model

    def fit(self, config, model, initial_epoch, epochs, callbacks):
        """Train; arguments as of `keras.Model.fit`."""
        if len(self.objectives) > 1:
            callbacks = [Validate(lambda: self.steps.validate(config, model), 1, epochs), *callbacks]
        batches = self.steps.batches(config, initial_epoch)
        model.fit(batches, epochs=epochs, initial_epoch=initial_epoch, callbacks=callbacks, shuffle=False, verbose=0)
