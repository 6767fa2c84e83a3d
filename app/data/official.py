"""Reading official VoxelMorph `.h5` files."""

import json

from app.errors import UserError


def read_official(path):
    """What an official file holds, without building anything.

    Args:
        path: `.h5` file that VoxelMorph's `model.save` (or its checkpoint callback) wrote.

    Returns:
        Name of the model's class, the dict of its constructor's arguments, and the weights: a
        dict from layer to a dict from weight name to array.

    Raises:
        UserError: If the file is missing, no HDF5, or holds no VoxelMorph config; what was
            found instead is told.
    """
    import h5py

    if not path.is_file():
        raise UserError(f"{path}: no such file; give an official VoxelMorph .h5 file")
    try:
        with h5py.File(path, "r") as file:
            description = file.attrs.get("model_config")
            group = file.get("model_weights", file)
            weights = {name: _arrays(group[name]) for name in group if isinstance(group[name], h5py.Group)}
    except OSError as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: not a readable HDF5 file ({reason}); download or copy it again") from None
    weights = {name: arrays for name, arrays in weights.items() if arrays}
    if description is None:
        found = ", ".join(f"{name} {_shapes(arrays)}" for name, arrays in list(weights.items())[:4])
        raise UserError(
            f"{path}: holds no VoxelMorph constructor config (weights alone, or a model from before VoxelMorph's "
            f"redesign of 2020); found {len(weights)} layers with weights: {found or 'none'} ...; "
            "save it with model.save(...) in the package that trained it"
        )
    try:
        content = json.loads(description)
        return content["class_name"], dict(content["config"]), weights
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: its model_config cannot be read ({error}); the file is damaged") from None


def _arrays(group):
    """Weights anywhere below a layer's group, by the last part of their name."""
    import h5py

    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name.split("/")[-1].split(":")[0]] = item[()]

    group.visititems(visit)
    return found


def _shapes(arrays):
    return " ".join(str(list(array.shape)) for array in arrays.values())
