"""Model files of strangers: what a `.keras` archive holds is looked at before Keras builds anything of it."""

import importlib
import io
import re
import zipfile
from pathlib import Path

from app.data.hdf5 import datasets, read_finite
from app.errors import UserError
from app.memory import free_bytes
from app.strangers import MOST_JSON, check_sizes, check_widths, parse_json, regular_file

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
EPOCH = "epoch.json"  # of a checkpoint, see `app.training.checkpoint`
ROOT = Path(__file__).resolve().parents[2]
OURS = ("nets.", "transfer.", "segmentation.")
OF_KERAS = {
    "keras.optimizers": {"Adam", "SGD"},
    "keras.optimizers.schedules": {"CosineDecay"},
    "keras.losses": {"SparseCategoricalCrossentropy", "BinaryCrossentropy", "CategoricalCrossentropy"},
    "keras": {"DTypePolicy"},
    "keras.mixed_precision": {"DTypePolicy"},
}


def check_archive(path):
    """See that a model file holds a network of this project, and only that; the files of its classes are imported.

    Nothing of it is executed, built or unpacked to the disk.

    Args:
        path: `.keras` file.

    Raises:
        UserError: If it is no regular file, no such archive or damaged; if it holds other members, other classes (a
            Lambda, a function by name), numbers that no network has, or more than it claims; if its weights lie
            elsewhere or are not finite.
    """
    regular_file(path, "model file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            _check_members(path, members, len(archive.infolist()))
            config = parse_json(archive.read(CONFIG), f"{path}: {CONFIG}")
            weights = archive.read(WEIGHTS)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: no model, or damaged ({reason}); restore it, or delete it to start afresh") from None
    _check_config(path, config)
    _check_weights(path, config, weights)


def _check_members(path, members, count):
    needed = {CONFIG, METADATA, WEIGHTS}
    if set(members) - {EPOCH} != needed or count != len(members):
        others = ", ".join(sorted(set(members) - needed))[:80] or "parts of it are missing"
        raise UserError(f"{path}: no model of this project ({others}); give one that it saved")
    for name in set(members) - {WEIGHTS}:
        if members[name].file_size > MOST_JSON:
            raise UserError(f"{path}: {name}: longer than a megabyte; restore it from its source")
    weights = members[WEIGHTS]
    if weights.file_size > max(2 * weights.compress_size, 2**20) or weights.file_size > free_bytes():
        raise UserError(
            f"{path}: {WEIGHTS}: claims {weights.file_size / 2**30:.1f} GiB in a file of "
            f"{weights.compress_size / 2**30:.2f}; restore it from its source"
        )


def _check_config(path, config):
    if not str(config.get("registered_name")).startswith("kerasmorph>"):
        kind = str(config.get("class_name"))[:60]
        raise UserError(f"{path}: a {kind}, no model of this project; give one that it saved")
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            if "class_name" in value and not _known(value):
                kind = f"{value.get('module')}.{value.get('class_name')}"[:80]
                raise UserError(f"{path}: holds {kind}, which no model of this project does; give one that it saved")
    check_sizes(config.get("config"), f"{path}: {CONFIG}")
    if not isinstance(config.get("config"), dict):
        raise UserError(f"{path}: {CONFIG}: says nothing of the network; restore it from its source")


def _known(value):
    module, name, registered = (value.get(key) for key in ("module", "class_name", "registered_name"))
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    if module.startswith(OURS):
        import keras

        if (
            not re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+", module)
            or not (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
        ):
            return False
        importlib.import_module(module)  # a file of this project: it registers its classes
        return registered == f"kerasmorph>{name}" and keras.saving.get_registered_object(registered) is not None
    return name in OF_KERAS.get(module, ()) and registered in (None, name)


def _check_weights(path, config, content):
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            arrays = datasets(file, path)
            check_widths(config["config"], len(content), f"{path}: {CONFIG}")
            for place, dataset in arrays.items():
                if not place.startswith("optimizer"):
                    read_finite(dataset, path)
    except OSError as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: {WEIGHTS} is damaged ({reason}); restore it from its source") from None
