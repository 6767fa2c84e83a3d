"""Trials of the task `hypermorph`: what a search trains and measures."""

from app.data.batches import SubjectCache
from app.data.cohort import draw_pairs
from app.reporting.evaluate_pairs import validation_dice
from app.tasks.hypermorph import build_model, coarse_grid, hyper_parameters, training_pairs, uses_labels
from app.training.callbacks import ValidateOverHyper
from app.training.train import optimizer


class HyperMorphTrials:
    """One cohort in memory, for the trials of a search.

    Reports `loss` and its parts, and with labels `validation_dice`, the mean Dice of
    `training.validate_pairs` validation pairs at the best of a few hyper-parameter values.

    Args:
        config: `HyperMorphConfig`.
        parts: Dict from split to subjects.
        summary: `CohortSummary`.
        data: `CohortConfig`.
    """

    NEEDS = "label files"

    def __init__(self, config, parts, summary, data):
        self.parts, self.labels = parts, len(summary.structures)
        self.cache = SubjectCache(data, summary.shape, summary.structures)
        pairs = draw_pairs(parts["validate"], data.pairs, config.seed)
        self.validation_pairs = pairs[: config.training.validate_pairs]

    @property
    def objectives(self):
        """Names of what is reported every epoch."""
        return ["loss", *(["validation_dice"] if self.labels else [])]

    def build(self, config):
        """A compiled network of a config."""
        model = build_model(config, hyper_parameters(config), self.labels if uses_labels(config) else 0)
        model.compile(optimizer(config.training, config.training.steps))
        return model

    def fit(self, config, model, initial_epoch, epochs, callbacks):
        """Train; arguments as of `keras.Model.fit`."""
        hyper = hyper_parameters(config)
        pairs = training_pairs(config, self.parts, self.cache, hyper, uses_labels(config), initial_epoch)
        if self.labels:
            measure = validation_dice(self.validation_pairs, self.cache, coarse_grid(hyper))
            callbacks = [ValidateOverHyper(measure, 1, epochs), *callbacks]
        model.fit(pairs, epochs=epochs, initial_epoch=initial_epoch, callbacks=callbacks, shuffle=False, verbose=0)
