"""The network of the task `fov`: built, trained, calibrated, applied."""

import keras
import numpy as np

from app.export.saved_model import Endpoint
from app.finite import check_finite
from app.systems.fov.batches import SliceBatches
from app.systems.fov.contract import FovContract
from app.systems.fov.regions import CLASSES
from app.systems.fov.report import evaluation_of
from app.systems.fov.write import save_decision
from app.systems.steps import Predictor, Steps
from app.training.optimizer import adam, learning_rate
from app.training.run_folder import log
from nets.classification.slice_classifier import SliceClassifier
from nets.classification.volume_decision import VolumeDecision

CHUNK = 256


class FovSteps(Steps):
    """Slices of a cohort in memory; see `Steps`.

    Reports `loss`, `validation_loss` (cross-entropy weighted by class) and `validation_error`, the share of
    validation slices that are wrong.
    """

    objectives = ("loss", "validation_loss", "validation_error")

    def __init__(self, config, cohort, folder=None):
        super().__init__(config, cohort, folder)
        self.slices, self.classes = _known(cohort.loaded["train"])
        self.weights = class_weights(self.classes)
        slices, classes = _known(cohort.loaded["validate"])
        chosen = np.random.default_rng(config.seed).permutation(len(slices))[: config.training.validate_slices]
        self.validation = slices[chosen], classes[chosen]

    def build(self, config):
        """See `Steps.build`."""
        return classifier_of(config)

    def compile(self, config, model):
        """See `Steps.compile`."""
        training = config.training
        if training.optimizer == "sgd":  # the thesis' (section 2.6.2); its decay of 1e-6 a step changes nothing here
            rate = learning_rate(training, training.steps_per_epoch)
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        else:
            optimizer = adam(training, training.steps_per_epoch)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=False)

    def batches(self, config, first_epoch=0):
        """See `Steps.batches`."""
        return SliceBatches(self.slices, self.classes, self.weights, config, first_epoch)

    def validate(self, config, model):
        """See `Steps.validate`."""
        slices, classes = self.validation
        logits = logits_of(model, slices)
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        weights = self.weights[classes]
        loss = -np.average(logs[np.arange(len(classes)), classes], weights=weights)
        error = float(np.mean(logits.argmax(axis=1) != classes))
        return {"validation_loss": float(loss), "validation_error": error}

    def finish(self, model):
        """See `Steps.finish`: the decision is calibrated on the validation volumes."""
        log("calibrating on the validation volumes")
        stacks = self.cohort.loaded["validate"]
        volumes = [(logits_of(model, stack.slices), stack.classes, stack.stack.spacing_mm) for stack in stacks]
        data = self.config.data
        return FovContract(
            size=data.size,
            context=data.context,
            decision=VolumeDecision(CLASSES, **self.config.decision.model_dump()).fit(volumes),
            simulated=data.phantom is not None,
            intensity=data.intensity_rule,
            orientation="PLS",  # of every stack: rows to the back, columns to the left, slices upwards
            trained_on=tuple(dict.fromkeys(case.subject for case in self.cohort.parts["train"])),
        )

    def evaluate(self, predictor, history):
        """See `Steps.evaluate`."""
        return evaluation_of(predictor, self.cohort.loaded["test"], history)


class FovPredictor(Predictor):
    """Decides volumes; see `Predictor`."""

    def logits(self, slices):
        """Logits of slices, see `logits_of`."""
        return logits_of(self.model, slices)

    def evaluate(self, question):
        """See `Predictor.evaluate`."""
        return evaluation_of(self, question.cases)

    def saver(self, to):
        """See `Predictor.saver`."""
        return lambda volume: save_decision(volume, self, to)

    def endpoints(self):
        """See `Predictor.endpoints`: `classify` takes slices `(batch, size, size, channels)` in [0, 1], as
        `axial_stack` makes them, and gives `probabilities` `(batch, classes)`, calibrated."""
        temperature = self.contract.decision.temperature

        def classify(slices):
            return {"probabilities": keras.ops.softmax(self.model({"slices": slices}, training=False) / temperature)}

        shape = (self.contract.size, self.contract.size, 2 * self.contract.context + 1)
        sample = np.random.default_rng(0).random((2, *shape), dtype="float32")
        return {"classify": Endpoint(classify, {"slices": (None, *shape)}, {"slices": sample})}


def classifier_of(config):
    """The network of a config.

    Args:
        config: `FovConfig`.

    Returns:
        `SliceClassifier`, not compiled.
    """
    data = config.data
    return SliceClassifier(len(CLASSES), data.size, 2 * data.context + 1, **config.network.model_dump())


def logits_of(model, slices):
    """Logits of slices.

    Args:
        model: `SliceClassifier`.
        slices: `(n, size, size, channels)`, uint8.

    Returns:
        `(n, classes)`, float64.
    """
    logits = []
    for start in range(0, len(slices), CHUNK):
        part = slices[start : start + CHUNK]
        filled = np.zeros((CHUNK, *part.shape[1:]), "float32")  # one shape, one trace
        filled[: len(part)] = part / np.float32(255.0)
        logits.append(keras.ops.convert_to_numpy(model.predict_on_batch({"slices": filled}))[: len(part)])
    return check_finite(np.concatenate(logits).astype(float), "the network's logits")


def class_weights(classes):
    """Weight of each class: inversely proportional to its frequency, 1 on average over slices.

    Args:
        classes: `(n,)` integers.

    Returns:
        `(len(CLASSES),)`; 0 for a class that never occurs.
    """
    counts = np.bincount(classes, minlength=len(CLASSES))
    there = counts > 0
    return np.where(there, len(classes) / np.maximum(counts, 1) / there.sum(), 0.0)


def _known(stacks):
    """Slices and classes of all volumes, the ignored ones left out."""
    slices = np.concatenate([stack.slices for stack in stacks])
    classes = np.concatenate([stack.classes for stack in stacks])
    return slices[classes >= 0], classes[classes >= 0]
