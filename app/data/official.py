"""Reading official VoxelMorph `.h5` files."""

from app.data.hdf5 import datasets, read_finite
from app.errors import UserError
from app.strangers import check_sizes, check_widths, parse_json, regular_file

MOST_SIZE = 2048


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

    if not path.exists():
        raise UserError(f"{path}: no such file; give an official VoxelMorph .h5 file")
    regular_file(path, "an official VoxelMorph .h5 file")
    weights = {}
    try:
        with h5py.File(path, "r") as file:
            description = _description(file, path)
            held = 0
            for place, dataset in datasets(file, path).items():
                layer, _, below = place.removeprefix("model_weights/").partition("/")
                if below and not place.startswith("optimizer_weights/"):
                    weight = below.split("/")[-1].split(":")[0]
                    weights.setdefault(layer, {})[weight] = read_finite(dataset, path)
                    held += weights[layer][weight].nbytes
    except OSError as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: not a readable HDF5 file ({reason}); download or copy it again") from None
    if description is None:
        found = ", ".join(f"{name} {_shapes(arrays)}" for name, arrays in list(weights.items())[:4])
        raise UserError(
            f"{path}: holds no VoxelMorph constructor config (weights alone, or a model from before VoxelMorph's "
            f"redesign of 2020); found {len(weights)} layers with weights: {found or 'none'} ...; "
            "save it with model.save(...) in the package that trained it"
        )
    where = f"{path}: its model_config"
    if not isinstance(description, str | bytes):
        raise UserError(f"{where} is no text; the file is damaged")
    content = parse_json(description.encode(errors="replace") if isinstance(description, str) else description, where)
    name, config = content.get("class_name"), content.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise UserError(f"{where} names no class with its arguments; found class {str(name)[:60]}; the file is damaged")
    _check_shape(config, where)
    check_sizes(config, where)
    if weights:
        check_widths(config, held, where)
    return name, config, weights


def _description(file, path):
    try:
        return file.attrs.get("model_config")
    except (TypeError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: its model_config is no text ({str(error)[:60]}); the file is damaged") from None


def _check_shape(config, where):
    shape = config.get("inshape", [])
    if not isinstance(shape, list) or not all(isinstance(size, int) and 0 < size <= MOST_SIZE for size in shape):
        raise UserError(f"{where}: inshape {str(shape)[:60]}: numbers of voxels from 1 to {MOST_SIZE} are expected")


def _shapes(arrays):
    return " ".join(str(list(array.shape)) for array in arrays.values())
