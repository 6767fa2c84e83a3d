"""The networks of the task `kidney`: built, adapted, loaded, applied."""

import dataclasses

import keras
import numpy as np
from scipy.ndimage import label

from app.data.cube import cube_grid, from_cube, to_cube
from app.data.npz import read_arrays
from app.errors import UserError
from app.files import whole_file
from app.finite import check_finite
from app.training.kidney_contract import KidneyContract
from app.training.run_folder import log
from app.training.train import load_trained, optimizer
from nets.losses.dice import SegmentationLoss
from nets.segmentation_unet import SegmentationUNet, copy_weights
from transfer.adapted_unet import AdaptedUNet
from transfer.population_gate import describing_network, fit_gate
from transfer.start_pose import start_pose
from transfer.strategies import STRATEGIES, adapt_statistics, start

SEARCHED = 10  # training volumes on which a pose to begin with is searched
POPULATION = "population.npz"  # of a source network: how its own population looks to it


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """What a network makes of a volume.

    Args:
        mask: On the volume's grid, bool.
        volume_ml: Of the mask.
        components: Parts of the mask that do not touch.
        cube: As the network saw it, `(size, size, size)`.
    """

    mask: np.ndarray
    volume_ml: float
    components: int
    cube: np.ndarray


def load_source(folder, data):
    """The network that a strategy starts from.

    Args:
        folder: `RunFolder` of its training.
        data: `KidneyDataConfig` of the adaptation.

    Returns:
        `SegmentationUNet` and its `KidneyContract`.

    Raises:
        UserError: If it is missing, was adapted itself, or sees another cube.
    """
    model, contract = load_trained(folder, KidneyContract, "kidney")
    if STRATEGIES[contract.strategy].from_source:
        raise UserError(f"source: {folder.path} holds an adapted network; give the run of the one that it came from")
    if (contract.size, contract.spacing_mm) != (data.size, data.spacing_mm):
        raise UserError(
            f"source: {folder.path} was trained on cubes of {contract.size} voxels of {contract.spacing_mm:g} mm, this "
            f"config has {data.size} of {data.spacing_mm:g} mm; set data.size={contract.size} and "
            f"data.spacing_mm={contract.spacing_mm:g}"
        )
    return model, contract


def check_strategy(config, source, source_folder):
    """Whether a source has what a strategy needs.

    Args:
        config: `KidneyConfig`.
        source: `SegmentationUNet`.
        source_folder: Its `RunFolder`.

    Raises:
        UserError: If it has not.
    """
    try:
        start(STRATEGIES[config.strategy], source, config.layers)
    except ValueError as error:
        raise UserError(f"strategy '{config.strategy}': {error}") from None
    if "gate" in STRATEGIES[config.strategy].added:
        _population(source_folder, 2 * sum(source.get_config()["filters"]))


def build(config, source, cases, source_folder=None):
    """The network that a strategy trains.

    Args:
        config: `KidneyConfig`.
        source: `SegmentationUNet` it starts from, or None.
        cases: List of `CubeCase`, for training.
        source_folder: `RunFolder` of the source, for the gate.

    Returns:
        Keras model, not compiled.
    """
    strategy = STRATEGIES[config.strategy]
    if source is None:
        return SegmentationUNet(**config.network.model_dump())
    model = start(strategy, source, config.layers)
    if strategy.trains == "statistics":
        adapt_statistics(model, _volumes(cases))
    if isinstance(model, AdaptedUNet):
        if "geometric" in strategy.added:
            log("searching a pose to begin with, the same for all volumes")
            pairs = _searched(cases, config.training.batch_size)
            start_pose(model, model.get_layer("added_geometric"), pairs, lambda dice: log(f"  Dice {dice:.3f}"))
        model.standardise(_volumes(cases))
        if "gate" in strategy.added:
            seen = descriptions(source, cases)
            known = _population(source_folder, seen.shape[1])
            model.get_layer("gate").decide_by(*fit_gate(*known, seen))
    return model


def compile_model(config, model, steps):
    """Give a network `SegmentationLoss`, and Adam with a cosine decay.

    Args:
        config: `KidneyConfig`.
        model: Keras model.
        steps: Batches per epoch.
    """
    model.compile(optimizer(config.training, steps), SegmentationLoss(), jit_compile=keras.backend.backend() == "jax")


def descriptions(source, cases):
    """How a source network sees volumes: what the gate tells populations by.

    Args:
        source: `SegmentationUNet`.
        cases: List of `CubeCase`.

    Returns:
        `(cases, n)`.
    """
    settings = source.get_config()
    network = describing_network(settings["filters"], settings["batch_normalisation"])
    copy_weights(source, network)
    return np.concatenate([keras.ops.convert_to_numpy(network(one)) for one in _volumes(cases)]).astype(float)


def write_population(path, source, cases):
    """Keep mean and covariance of a source population's descriptions: a later gate needs no volume of it.

    Args:
        path: File, npz.
        source: `SegmentationUNet`.
        cases: List of `CubeCase` of the source population.
    """
    seen = descriptions(source, cases)
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, mean=seen.mean(axis=0), covariance=np.cov(seen.T, bias=True), count=len(seen))


def dice_of(model, cases):
    """Mean Dice of masks on their cubes.

    Args:
        model: Keras model.
        cases: List of `CubeCase`.

    Returns:
        Float.
    """
    found = [logits_of(model, one.image) > 0 for one in cases]
    pairs = zip(found, (one.mask[..., 0] for one in cases), strict=True)
    return float(np.mean([2 * np.sum(a & b) / max(a.sum() + b.sum(), 1) for a, b in pairs]))


def logits_of(model, image):
    """Logits of one cube.

    Args:
        model: Keras model.
        image: `(size, size, size)`.

    Returns:
        Array of the same shape, float32.
    """
    volume = np.asarray(image, "float32")[None, ..., None]
    logits = keras.ops.convert_to_numpy(model.predict_on_batch({"image": volume}))[0, ..., 0]
    return check_finite(logits, "the network's mask")


def segment(model, contract, volume, largest_component=False, name=None):
    """A volume's mask, on its own grid.

    Args:
        model: Keras model.
        contract: `KidneyContract`.
        volume: `Volume`.
        largest_component: Whether only the largest part of the mask is kept.
        name: Of its file, for a note where few intensities are left.

    Returns:
        `Segmentation`.

    Raises:
        UserError: If the volume cannot be brought to the network's cube.
    """
    grid = cube_grid(volume, contract.size, contract.spacing_mm)
    cube = contract.intensity_rule.unit_range(to_cube(volume, grid), name)
    mask = from_cube(logits_of(model, cube), grid, volume, outside=-10.0) > 0
    parts, count = label(mask)
    if largest_component and count > 1:
        mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
        count = 1
    millilitres = float(mask.sum() * abs(np.linalg.det(volume.affine[:3, :3])) / 1000)
    return Segmentation(mask, millilitres, count, cube)


def adaptation(model, cube):
    """How an adapted network takes a volume.

    Args:
        model: Keras model.
        cube: As `segment` returns it.

    Returns:
        Probability of the target population, None without a gate; pose (translations in voxels of the cube, angles
        in degrees, scales), None without a geometric layer or where the gate leaves the volume alone.

    Raises:
        UserError: If a number of them is not finite.
    """
    probability, pose = None, None
    if isinstance(model, AdaptedUNet):
        settings, image = model.get_config(), cube[None, ..., None]
        if settings["gate"]:
            told = keras.ops.convert_to_numpy(model.get_layer("gate").probability(image))
            probability = float(check_finite(told, "the network's probability of the target population")[0, 0])
        if settings["geometric"] and (probability is None or probability > 0.5):
            poses = check_finite(keras.ops.convert_to_numpy(model.poses(image)), "the network's pose")
            pose = [round(float(one), 4) for one in poses[0]]
    return probability, pose


def _searched(cases, batch_size):
    """Images and masks of some training volumes, from all over the list, in batches."""
    chosen = [cases[at] for at in np.linspace(0, len(cases) - 1, min(SEARCHED, len(cases))).round().astype(int)]
    images, masks = (np.stack([getattr(one, part) for one in chosen]) for part in ("image", "mask"))
    starts = range(0, len(chosen), batch_size)
    return [(images[at : at + batch_size, ..., None].astype("float32"), masks[at : at + batch_size]) for at in starts]


def _volumes(cases):
    return [one.image.astype("float32")[None, ..., None] for one in cases]


def _population(folder, width):
    try:
        mean, covariance, count = read_arrays(folder.path / POPULATION, ("mean", "covariance", "count"))
        if mean.shape != (width,) or covariance.shape != (width, width) or count.size != 1 or not 0 < count < 1e9:
            raise UserError("arrays of other shapes than it has")
    except UserError as error:
        raise UserError(
            f"{folder.path / POPULATION}: missing or damaged ({error.problems[0][-120:]}); the gate needs to know "
            "how the source population looks: train the source again, or use strategy 'geometric_intensity'"
        ) from None
    return mean, covariance, int(count)
