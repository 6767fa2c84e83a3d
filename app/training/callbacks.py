"""Callbacks of `fit`: progress, validation, checkpoints."""

import math
import time

import keras
import numpy as np

from app.progress import progress_bar
from app.training.checkpoint import save_model
from app.training.run_folder import log


class Progress(keras.callbacks.Callback):
    """A progress bar over the whole training, with the time left, and one line per epoch.

    Args:
        epochs: Number of epochs.
        steps: Batches per epoch.
        first_epoch: Epoch with which this session begins.
    """

    def __init__(self, epochs, steps, first_epoch=0):
        super().__init__()
        self.epochs = epochs
        self.bar = progress_bar()
        self.line = self.bar.add_task("training", total=epochs * steps, completed=first_epoch * steps)

    def on_train_begin(self, logs=None):
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.line)

    def on_epoch_end(self, epoch, logs=None):
        parts = " ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        seconds = time.perf_counter() - self.started
        left = (self.epochs - epoch - 1) * seconds
        log(f"epoch {epoch + 1}/{self.epochs}: {parts}, {seconds:.0f} s, {left / 60:.0f} min left")

    def on_train_end(self, logs=None):
        self.bar.stop()


class Validate(keras.callbacks.Callback):
    """What is measured on the validation subjects, into the epoch's logs.

    Args:
        measure: Function `() -> dict of numbers`.
        every: Epochs between validations; the last epoch is always validated.
        epochs: Number of epochs.
    """

    def __init__(self, measure, every, epochs):
        super().__init__()
        self.measure, self.every, self.epochs = measure, every, epochs

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            logs.update(self.measure())


class SeededDropout(keras.callbacks.Callback):
    """What is dropped in an epoch depends on seed and epoch alone: Keras does not keep the state of its generators.

    Args:
        seed: Integer.
    """

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        layers = (layer for layer in self.model._flatten_layers() if hasattr(layer, "seed_generator"))
        for index, layer in enumerate(layers):
            state = np.random.SeedSequence([self.seed, epoch, index]).generate_state(2)
            layer.seed_generator.state.assign(state)


class Checkpoint(keras.callbacks.Callback):
    """After each epoch: the history, then the model with its optimiser, each written whole.

    A kill between the two leaves a history that is longer than the checkpoint, never
    shorter; the resumed run cuts it.

    Args:
        folder: `RunFolder`.
        history: Rows of the epochs before.
    """

    def __init__(self, folder, history):
        super().__init__()
        self.folder = folder
        self.history = list(history)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            return  # the last sound checkpoint stays
        row = {"epoch": epoch + 1, **{key: float(value) for key, value in logs.items()}}
        row["seconds"] = round(time.perf_counter() - self.started, 2)
        self.history.append(row)
        self.folder.write_history(self.history)
        save_model(self.model, self.folder.checkpoint, epoch + 1)
