"""The trained network that a transfer starts from, and how its own population looks to it."""

import keras
import numpy as np

from app.data.npz import read_arrays
from app.errors import UserError
from app.files import whole_file
from app.systems import find_system
from app.systems.opened import open_run
from nets.segmentation_unet import copy_weights
from transfer.population_gate import describing_network
from transfer.strategies import start
from transfer.strategy import STRATEGIES

POPULATION = "population.npz"  # in the run folder of a source network


def load_source(config):
    """The network that a strategy starts from.

    Args:
        config: `KidneyConfig` with a source.

    Returns:
        `SegmentationUNet` and its `KidneyContract`.

    Raises:
        UserError: If it is missing, was adapted itself, or sees another cube.
    """
    run, data = open_run(config.source, find_system("kidney")), config.data
    contract = run.contract
    if STRATEGIES[contract.strategy].from_source:
        raise UserError(f"source: {config.source} holds an adapted network; give the run of the network it came from")
    if (contract.size, contract.spacing_mm) != (data.size, data.spacing_mm):
        raise UserError(
            f"source: {config.source} was trained on cubes of {contract.size} voxels of {contract.spacing_mm:g} mm, "
            f"this config has {data.size} of {data.spacing_mm:g} mm; set data.size={contract.size} and "
            f"data.spacing_mm={contract.spacing_mm:g}"
        )
    return run.predictor(config).model, contract


def check_source(config):
    """See that a source has what a strategy needs.

    Args:
        config: `KidneyConfig` with a source.

    Raises:
        UserError: As `load_source`; or if it has not.
    """
    source, _ = load_source(config)
    try:
        start(STRATEGIES[config.strategy], source, config.layers)
    except ValueError as error:
        raise UserError(f"strategy '{config.strategy}': {error}") from None
    if "gate" in STRATEGIES[config.strategy].added:
        read_population(config.source, 2 * sum(source.get_config()["filters"]))


def descriptions(source, cubes):
    """How a source network sees volumes: by this the gate distinguishes populations.

    Args:
        source: `SegmentationUNet`.
        cubes: List of `CubeCase`.

    Returns:
        `(cubes, n)`.
    """
    settings = source.get_config()
    network = describing_network(settings["filters"], settings["batch_normalisation"])
    copy_weights(source, network)
    return np.concatenate([keras.ops.convert_to_numpy(network(image)) for image in network_images(cubes)]).astype(float)


def network_images(cubes):
    """Images of cubes as a network takes them, each a batch of one."""
    return [cube.image.astype("float32")[None, ..., None] for cube in cubes]


def write_population(folder, source, cubes):
    """Keep mean and covariance of a source population's descriptions: a later gate needs no volume of it.

    Args:
        folder: Path of the source's run folder.
        source: `SegmentationUNet`.
        cubes: List of `CubeCase` of the source population.
    """
    seen = descriptions(source, cubes)
    with whole_file(folder / POPULATION) as temporary:
        np.savez_compressed(temporary, mean=seen.mean(axis=0), covariance=np.cov(seen.T, bias=True), count=len(seen))


def read_population(folder, width):
    """What `write_population` wrote.

    Args:
        folder: Path of the source's run folder.
        width: Numbers in a description.

    Returns:
        Mean `(width,)`, covariance `(width, width)` and the number of volumes.

    Raises:
        UserError: If it is missing or damaged.
    """
    try:
        mean, covariance, count = read_arrays(folder / POPULATION, ("mean", "covariance", "count"))
        if mean.shape != (width,) or covariance.shape != (width, width) or count.size != 1 or not 0 < count < 1e9:
            raise UserError("arrays of other shapes than it has")
    except UserError as error:
        raise UserError(
            f"{folder / POPULATION}: missing or damaged ({error.problems[0][-120:]}); the gate needs to know how the "
            "source population looks: train the source again, or use strategy 'geometric_intensity'"
        ) from None
    return mean, covariance, int(count)
