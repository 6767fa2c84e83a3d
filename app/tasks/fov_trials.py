"""Trials of the task `fov`: what training and a search share."""

import keras
import numpy as np

from app.data.regions import CLASSES
from app.data.slice_batches import SliceBatches
from app.finite import check_finite
from app.tasks.fov import OBJECTIVES
from nets.classification.slice_classifier import SliceClassifier

CHUNK = 256


class FovTrials:
    """Slices of a cohort in memory.

    Reports `loss`, `validation_loss` (cross-entropy weighted by class) and `validation_error`, the share of
    validation slices that are wrong.

    Args:
        config: `FovConfig`.
        train, validate: Lists of `LabelledStack`.
    """

    objectives, NEEDS = OBJECTIVES, None

    def __init__(self, config, train, validate):
        self.slices, self.classes = _known(train)
        self.weights = class_weights(self.classes)
        slices, classes = _known(validate)
        chosen = np.random.default_rng(config.seed).permutation(len(slices))[: config.training.validate_slices]
        self.validation = slices[chosen], classes[chosen]

    def build(self, config):
        """A compiled network of a config."""
        model = network(config)
        self.compile(config, model)
        return model

    def compile(self, config, model):
        """Give a network its optimiser and its loss, cross-entropy."""
        training = config.training
        rate = training.learning_rate
        if training.decay:
            total = training.epochs * training.steps_per_epoch
            rate = keras.optimizers.schedules.CosineDecay(rate, total, alpha=0.02)
        if training.optimizer == "sgd":  # the thesis' (section 2.6.2); its decay of 1e-6 a step changes nothing here
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        else:
            optimizer = keras.optimizers.Adam(rate)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=False)

    def batches(self, config, first_epoch=0):
        """The training slices, see `SliceBatches`."""
        training = config.training
        return SliceBatches(
            self.slices, self.classes, self.weights, training.batch_size, training.steps_per_epoch, config.seed,
            config.augmentation, first_epoch,
        )  # fmt: skip

    def fit(self, config, model, initial_epoch, epochs, callbacks):
        """Train; arguments as of `keras.Model.fit`."""
        from app.training.callbacks import ValidateOverHyper

        callbacks = [ValidateOverHyper(self.measure, 1, epochs), *callbacks]
        batches = self.batches(config, initial_epoch)
        model.fit(batches, epochs=epochs, initial_epoch=initial_epoch, callbacks=callbacks, shuffle=False, verbose=0)

    def measure(self, model):
        """Loss and error on the validation slices."""
        slices, classes = self.validation
        logits = logits_of(model, slices)
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        weights = self.weights[classes]
        loss = -np.average(logs[np.arange(len(classes)), classes], weights=weights)
        error = float(np.mean(logits.argmax(axis=1) != classes))
        return {"validation_loss": float(loss), "validation_error": error}


def network(config):
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
    found = []
    for start in range(0, len(slices), CHUNK):
        part = slices[start : start + CHUNK]
        filled = np.zeros((CHUNK, *part.shape[1:]), "float32")  # one shape, one trace
        filled[: len(part)] = part / np.float32(255.0)
        found.append(keras.ops.convert_to_numpy(model.predict_on_batch({"slices": filled}))[: len(part)])
    return check_finite(np.concatenate(found).astype(float), "the network's logits")


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
    slices = np.concatenate([one.slices for one in stacks])
    classes = np.concatenate([one.classes for one in stacks])
    return slices[classes >= 0], classes[classes >= 0]
