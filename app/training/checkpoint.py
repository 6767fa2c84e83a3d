"""Model files: written whole, looked at before they are loaded."""

import json
import zipfile

import keras

from app.errors import UserError
from app.files import whole_file
from app.notes import note
from app.processor import slow_precision
from app.strangers import parse_json
from app.training.archive import EPOCH, check_archive


def save_model(model, path, epoch=None):
    """Write a `.keras` file, whole or not at all.

    Args:
        model: Keras model.
        path: File.
        epoch: Epochs that it has been trained, of a checkpoint; kept in the same file, since two files could not be
            replaced at once.
    """
    with whole_file(path) as temporary:
        model.save(temporary)
        if epoch is not None:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(EPOCH, json.dumps({"epoch": epoch}))


def checkpoint_epoch(path):
    """Epochs that a checkpoint has been trained.

    Args:
        path: `.keras` file that `check_archive` lets through.

    Returns:
        Integer; None of a file that does not say it.

    Raises:
        UserError: If it is no number of epochs.
    """
    with zipfile.ZipFile(path) as archive:
        if EPOCH not in archive.namelist():
            return None
        epoch = parse_json(archive.read(EPOCH), f"{path}: {EPOCH}").get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 < epoch < 10**9:
        raise UserError(f"{path}: {EPOCH}: no number of epochs; delete it to start afresh, or restore it")
    return epoch


def load_checkpoint(path, precision=None):
    """Load a `.keras` file of this project.

    Args:
        path: File.
        precision: "float32" or "bfloat16"; None takes that of training.

    Returns:
        The model, compiled as it was saved.

    Raises:
        UserError: If the file is missing or damaged.
    """
    from nets.precision import in_precision

    check_archive(path)
    if line := slow_precision(precision):
        note(line)
    try:
        return in_precision(keras.models.load_model(path), precision)
    except Exception as error:  # zip, h5py, json and Keras raise their own kinds
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: the model cannot be loaded, the file is missing or damaged ({reason}); "
            "delete it to start afresh, or restore it"
        ) from None
