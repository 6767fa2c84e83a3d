"""The networks of the task `hypermorph`: built and trained."""

import itertools
import math

from app.processor import slow_precision
from app.systems.registration.appearance import appearance_of_all
from app.systems.registration.cache import SubjectCache
from app.systems.registration.cohort import draw_pairs
from app.systems.registration.contract import RegistrationContract
from app.systems.registration.measure import evaluate_pairs, summarise
from app.systems.registration.pairs import TrainingPairs
from app.systems.registration.registrar import NetworkRegistrar
from app.systems.registration.report import evaluation_of
from app.systems.registration.system import SIMULATED, Measurement, hyper_parameters, label_names, uses_labels
from app.systems.steps import Steps
from app.systems.system import Question
from app.training.optimizer import adam
from app.training.run_folder import log
from nets.registration.hypermorph import HyperMorph
from nets.registration.objective import Objective
from nets.registration.voxelmorph import VoxelMorph

GENERATED = ("generator", "units", "depth")  # keys of the hypernetwork
MEASURED = 50  # images of the training, at most, that say what it has seen


class RegistrationSteps(Steps):
    """Pairs of a cohort; see `Steps`.

    Reports `loss` and its parts, and with labels `validation_dice`, the mean Dice of `training.validate_pairs`
    validation pairs at the best of a few hyper-parameter values.
    """

    def __init__(self, config, cohort, folder=None):
        super().__init__(config, cohort, folder)
        self.images, self.hyper = cohort.facts, hyper_parameters(config)
        data, summary = self.images.data, self.images.summary
        self.cache = SubjectCache(data, summary.shape, summary.structures)
        self.validation_pairs = draw_pairs(cohort.parts["validate"], data.pairs, config.seed)
        self.best = None
        if line := slow_precision(config.network.precision):
            log(line)

    @property
    def objectives(self):
        """See `Steps.objectives`."""
        return ("loss", *(["validation_dice"] if self.images.summary.structures else []))

    def build(self, config):
        """See `Steps.build`."""
        return network_of(config, len(self.images.summary.structures) if uses_labels(config) else 0)

    def compile(self, config, model):
        """See `Steps.compile`."""
        model.compile(adam(config.training, config.training.steps))

    def batches(self, config, first_epoch=0):
        """See `Steps.batches`."""
        return TrainingPairs(
            self.cohort.parts["train"], self.cache, hyper_parameters(config), config.training, uses_labels(config),
            config.seed, first_epoch,
        )  # fmt: skip

    def validate(self, config, model):
        """See `Steps.validate`."""
        pairs = self.validation_pairs[: self.config.training.validate_pairs]
        registrar, grid = NetworkRegistrar(model, None, config), coarse_grid(hyper_parameters(config))
        rows = evaluate_pairs(registrar, pairs, self.cache, grid, quiet=True)
        return {"validation_dice": max(entry["dice"] for entry in summarise(rows))}

    def finish(self, model):
        """See `Steps.finish`: the best hyper-parameter values are those of the validation pairs."""
        log("evaluating on the validation pairs, to choose the best hyper-parameters")
        registrar = NetworkRegistrar(model, None, self.config)
        self.best = _best(summarise(evaluate_pairs(registrar, self.validation_pairs, self.cache, self._grid())))
        summary, names = self.images.summary, [hyper.name for hyper in self.hyper]
        labels = label_names(summary, self.images.names)
        return RegistrationContract(
            shape=list(summary.shape),
            spacing_mm=list(summary.spacing_mm),
            orientation=summary.orientation,
            hyper={hyper.name: [hyper.low, hyper.high] for hyper in self.hyper},
            best=dict(zip(names, self.best, strict=True)) if summary.structures else {},
            structures=dict(zip(map(str, summary.structures), labels, strict=True)),
            simulated=self.config.data.phantom is not None,
            intensity=self.images.data.intensity_rule,
            trained_on=tuple(subject.name for subject in self.cohort.parts["train"]),
            appearance=appearance_of_all(
                self.cache.image(subject) for subject in self.cohort.parts["train"][:MEASURED]
            ),
        )

    def evaluate(self, predictor, history):
        """See `Steps.evaluate`: at every value of the grid, the best in validation stressed."""
        summary = self.images.summary
        pairs = draw_pairs(self.cohort.parts["test"], self.images.data.pairs, self.config.seed)
        rows = evaluate_pairs(predictor, pairs, self.cache, self._grid(), summary.spacing_mm, surfaces=True)
        note = SIMULATED if self.config.data.phantom is not None else None
        labels = label_names(summary, self.images.names)
        measurement = Measurement(self.cache, self._grid(), labels, summary.spacing_mm, note)
        return evaluation_of(
            predictor, Question("", pairs, measurement), rows, self.best, "Best in validation", history
        )

    def _grid(self):
        return list(itertools.product(*(hyper.grid(self.config.evaluation.values) for hyper in self.hyper)))


def network_of(config, labels):
    """The network of a config.

    Args:
        config: `HyperMorphConfig`.
        labels: Number of labels in the loss.

    Returns:
        `HyperMorph`, or `VoxelMorph` where there is no hyper-parameter; not compiled.
    """
    objective = Objective(
        **config.objective.model_dump(),
        smoothness_scale=float(config.network.velocity_resolution),
        labels=labels,
    )
    network, hyper = config.network.model_dump(), hyper_parameters(config)
    if hyper:
        return HyperMorph(hyper=hyper, objective=objective, **network)
    return VoxelMorph(objective=objective, **{key: value for key, value in network.items() if key not in GENERATED})


def coarse_grid(hyper):
    """A few values of each hyper-parameter, for validation while training.

    Args:
        hyper: List of `HyperParameter`.

    Returns:
        List of tuples.
    """
    shares = [[each.low + share * (each.high - each.low) for share in (0.1, 0.5)] for each in hyper]
    return list(itertools.product(*shares))


def _best(validation):
    """Values with the best mean Dice; without labels the middle of the grid, to look at."""
    known = [entry for entry in validation if math.isfinite(entry.get("dice", math.nan))]
    if known:
        return max(known, key=lambda entry: entry["dice"])["hyper"]
    return validation[len(validation) // 2]["hyper"]
