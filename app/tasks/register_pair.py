"""Task `register` for one pair of image files, with a trained model or without."""

import time

import numpy as np

from app.config import config_text
from app.data.intensity import IntensityRule
from app.errors import UserError, list_problems
from app.quiet import import_keras
from app.systems import find_system
from app.systems.opened import open_run
from app.systems.registration.appearance import note_strangers
from app.systems.registration.checks import check_image, check_labels
from app.systems.registration.cost import engine_bytes, output_bytes, register_bytes
from app.systems.registration.grids import in_mm
from app.systems.registration.names import result_names
from app.systems.registration.suits import note_differences, note_labels
from app.training.cost import check_memory
from app.training.run_folder import RunFolder, log

SIMULATED = "The model was trained on simulated images: not for use on patients."
FEWEST = 4  # voxels along an axis that the engine needs


def open_model(config):
    """The trained run that a config names, or None.

    Raises:
        UserError: If it is no run of registration.
    """
    return open_run(config.model, find_system("hypermorph")) if config.model else None


def register_pair(config, dry_run=False, page=True, opened=None):
    """Register a pair, and write what the registration is; see `app.systems.registration.write`.

    Args:
        config: `RegisterConfig` of one pair.
        dry_run: Check and print only.
        page: Whether figures and a page are made.
        opened: What `open_model` gives and its network, for many pairs; by default they are opened here.

    Raises:
        UserError: If a file, the model or a value is wrong, or the images do not overlap.
    """
    folder = RunFolder(config.output)
    folder.check(config, ("output",))
    result_names(config)  # refused before anything is computed
    trained, network = opened or (open_model(config), None)
    contract = trained.contract if trained else None
    hyper = contract.hyper_vector(config.hyper) if trained else ()
    volumes = _read(config, len(contract.shape) if trained else None)
    _check(config, volumes)
    import_keras()

    from app.systems.registration.place import check_placement
    from app.systems.registration.working import model_grid, working_grid
    from app.systems.registration.write import save_registration

    moving, fixed = volumes["moving"], volumes["fixed"]
    grid = model_grid(fixed, contract) if trained else working_grid(moving, fixed, config.working_mm, config.symmetric)
    if trained:
        note_differences(contract, config, volumes, grid)
    own_grid = np.array_equal(grid.to_fixed, np.eye(len(grid.to_fixed)))
    as_trained = trained is not None and own_grid and moving.same_grid(fixed)
    by_header, begun = check_placement(config, moving, fixed, as_trained)
    needed = register_bytes(grid.shape)
    if not trained:
        needed = engine_bytes(grid.shape, config.similarity, config.symmetric)
    written = {"fixed": fixed.array.shape, "moving": moving.array.shape, "working": grid.shape}[config.grid]
    needed = max(needed, output_bytes(written))
    check_memory(needed, "moving, fixed", "set working_mm, or crop or resample the images")
    if dry_run:
        return _describe(config, grid, trained, hyper, needed)
    started = time.perf_counter()
    pair = _placed(config, folder, trained, volumes, (by_header, begun), grid)
    simulated = SIMULATED if trained and trained.contract.simulated else None
    save_registration(_registrar(config, trained, pair, network), pair, hyper, config, folder, simulated, page)
    log(f"{time.perf_counter() - started:.0f} seconds from the images in memory to the {'report' if page else 'files'}")


def _placed(config, folder, trained, volumes, placements, grid):
    """The pair, aligned and on its grid; the folder is opened."""
    from app.systems.registration.pair import Pair
    from app.systems.registration.place import place

    rule = trained.contract.intensity if trained else IntensityRule()
    images = {name: rule.unit_range(volumes[name].array, getattr(config, name)) for name in ("moving", "fixed")}
    by_header, begun = placements
    placement = place(config, volumes, images, begun)
    folder.open(config)
    for line in placement.lines:
        log(line)
    pair = Pair.of(volumes, placement, by_header, grid, images, fill=trained is not None)
    if trained:
        note_strangers(trained.contract, (pair.moving, pair.fixed), (config.moving, config.fixed))
    log(f"compared on {_by(grid.shape)} voxels of {in_mm(grid.spacing_mm)} mm")
    return pair


def _registrar(config, trained, pair, network=None):
    """What registers the pair."""
    from app.systems.registration.engine import RefinedRegistrar, pair_registrar
    from nets.registration.engine.method import PRESETS, refining

    weights = None if pair.weights.all() else pair.weights
    levels = PRESETS[config.preset or "default"]
    if trained is None:
        return pair_registrar(_similarity(config, pair), levels, weights, config.symmetric)
    network = network or trained.predictor(config, config.precision)
    if not config.refine:
        return network
    levels = refining(levels, config.refine)
    return RefinedRegistrar(network, pair_registrar(_similarity(config, pair), levels, weights))


def _similarity(config, pair):
    """The config's, or that which the intensities ask for."""
    from app.systems.registration.engine import chosen_similarity

    if config.similarity != "auto":
        return config.similarity
    images = (image[..., 0] for image in (pair.moving, pair.fixed, pair.weights))
    chosen, share, explained = chosen_similarity(*images, config.symmetric)
    log(
        f"similarity: {chosen}; of the fixed image's variance {100 * explained:.0f} % is a function of the moving "
        f"image's intensities, {100 * share:.0f} % of that a monotone one"
    )
    return chosen


def _check(config, volumes):
    moving, fixed = volumes["moving"], volumes["fixed"]
    if moving.array.ndim != fixed.array.ndim:
        raise UserError(
            f"{config.moving}: {moving.array.ndim}D, but {config.fixed} is {fixed.array.ndim}D; give two of one kind"
        )
    list_problems(
        [
            f"{getattr(config, name)}: {volumes[name].array.shape} voxels; {FEWEST} or more along each axis are needed"
            for name in ("moving", "fixed")
            if min(volumes[name].array.shape) < FEWEST
        ]
    )
    for name in ("moving", "fixed"):
        note_labels(getattr(config, name), volumes[name])


def _describe(config, grid, trained, hyper, needed):
    model = f"none, preset {config.preset or 'default'}"
    if trained:
        model = f"{trained.model_file}, {dict(zip(trained.contract.hyper, hyper, strict=True))}"
    print(config_text(config))
    print(f"model: {model}\naffine: {config.affine}")
    print(f"working grid: {grid.shape}, spacing {in_mm(grid.spacing_mm)} mm; at least {needed / 2**30:.1f} GiB")
    print("dry run: nothing was written")


def _read(config, rank):
    """All volumes, or every problem with them; of `rank` axes, or of 2 or 3 where that is None."""
    problems, volumes = [], {}
    for name in ("moving", "fixed"):
        volumes[name], lines = check_image(getattr(config, name), rank, config.nan, config.frame)
        problems += lines
    list_problems(problems)
    for name, image in (("moving_labels", volumes["moving"]), ("fixed_labels", volumes["fixed"])):
        if getattr(config, name) is not None:
            volumes[name], lines = check_labels(getattr(config, name), image)
            problems += lines
    if "fixed_labels" in volumes and "moving_labels" not in volumes:
        problems.append("moving_labels: missing, there is nothing to compare fixed_labels with; give both")
    list_problems(problems)
    return volumes


def _by(shape):
    return " x ".join(map(str, shape))
