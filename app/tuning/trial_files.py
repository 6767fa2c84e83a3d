"""What is kept of a trial: weights, optimiser and random states, and how far it is."""

import io
import json

import h5py
import keras_tuner as kt

from app.data.hdf5 import datasets
from app.files import whole_file

# Of a trial: weights after its last epoch, weights of its best (Keras Tuner's name), how far it is.
LAST, BEST, PROGRESS = "epoch_*.weights.h5", "checkpoint.weights.h5", "progress.json"


class DiskFullError(kt.errors.FatalError):
    """The trial is not at fault: it would fail again, and so would all others."""


class _WeightsInMemory(io.BytesIO):
    """Weights before they are written: where a disk is full, HDF5 ends the process by a segmentation fault."""

    def __str__(self):
        return "memory.weights.h5"  # Keras looks at the ending


def save_weights(model, path):
    """Write weights and optimiser, whole or not at all.

    Args:
        model: Keras model, compiled.
        path: File, `.weights.h5`.
    """
    content = _WeightsInMemory()
    model.save_weights(content)
    with whole_file(path) as temporary:
        temporary.write_bytes(content.getvalue())


def load_trial(model, folder, progress):
    """Bring a model to where a trial stopped: weights, optimiser, random states.

    Args:
        model: Keras model, compiled.
        folder: Of the trial.
        progress: What `read_progress` returned.

    Raises:
        UserError: If a file points out of itself.
    """
    load_weights(model, folder / progress["weights"], progress)
    for state, value in zip(random_states(model), progress["random_states"], strict=True):
        state.assign(value)


def load_weights(model, path, progress):
    """Read what `save_weights` wrote.

    Args:
        model: Keras model, compiled.
        path: File.
        progress: What `read_progress` returned.

    Raises:
        UserError: If the file points out of itself.
    """
    if not model.built:
        model.build_from_config(progress["build"])
    model.optimizer.build(model.trainable_variables)  # else its state does not fit
    with h5py.File(path, "r") as file:
        datasets(file, path)  # a search that came from elsewhere may point out of its own files
    model.load_weights(path)


def random_states(model):
    """States of dropout and the like, which Keras does not keep with the weights."""
    return [variable for variable in model.variables if "seed_generator" in variable.path]


def has_weights(folder):
    """Whether a trial's folder has its progress and the weights that this names."""
    return (folder / PROGRESS).is_file() and (folder / read_progress(folder)["weights"]).is_file()


def read_progress(folder):
    """How far a trial is: dict of `epochs`, `seconds`, `best`, `curve`, `weights`, `build`, `random_states`."""
    return json.loads((folder / PROGRESS).read_text(encoding="utf-8"))


def first_trial(oracle, trial):
    """The first trial of a configuration, of which Hyperband's promotions are later ones.

    Args:
        oracle: Any oracle, a worker's client too.
        trial: `keras_tuner` trial.

    Returns:
        Its name.
    """
    while before := trial.hyperparameters.values.get("tuner/trial_id"):
        trial = oracle.get_trial(before)
    return trial.trial_id
