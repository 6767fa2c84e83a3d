"""Task `register`: register two image files, with a trained model or without."""

import numpy as np

from app.config import config_text
from app.data.intensity import IntensityRule
from app.errors import UserError, list_problems
from app.notes import note
from app.quiet import import_keras
from app.systems import find_system
from app.systems.opened import open_run
from app.systems.registration.checks import check_image, check_labels, orientation
from app.systems.registration.cost import engine_bytes, register_bytes
from app.systems.registration.placed import check_overlap, displacement_in_moving, inside
from app.training.cost import check_memory
from app.training.run_folder import RunFolder

FEWEST = 4  # voxels along an axis that the engine needs


def run(config, dry_run=False):
    """Register, and write what the registration is; see `app.systems.registration.write`.

    Args:
        config: `RegisterConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If a file, the grid, the model or a value is wrong.
    """
    folder = RunFolder(config.output)
    folder.check(config, ("output",))
    if config.model is None:
        _without_model(config, folder, dry_run)
    else:
        _with_model(config, folder, dry_run)


def _with_model(config, folder, dry_run):
    trained = open_run(config.model, find_system("hypermorph"))
    contract = trained.contract
    hyper = contract.hyper_vector(config.hyper)
    volumes = _read(config, len(contract.shape))
    fixed = volumes["fixed"]
    _check_one_grid(config, volumes)
    check_memory(register_bytes(fixed.array.shape), "moving, fixed", "crop or resample the images")
    _note_differences(contract, fixed)
    if dry_run:
        return _describe(config, fixed, f"{trained.model_file}, {dict(zip(contract.hyper, hyper, strict=True))}")
    import_keras()

    from app.systems.registration.write import save_registration

    registrar = trained.predictor(config, config.precision)
    folder.open(config)
    warning = "The model was trained on simulated images: not for use on patients." if contract.simulated else None
    save_registration(registrar, contract.intensity, volumes, hyper, config, folder, warning)


def _without_model(config, folder, dry_run):
    volumes = _read(config, None)
    moving, fixed = volumes["moving"], volumes["fixed"]
    if moving.array.ndim != fixed.array.ndim:
        raise UserError(
            f"{config.moving}: {moving.array.ndim}D, but {config.fixed} is {fixed.array.ndim}D; give two of one kind"
        )
    if min(fixed.array.shape) < FEWEST:
        raise UserError(f"{config.fixed}: {fixed.array.shape} voxels; {FEWEST} or more along each axis are needed")
    check_overlap(config, moving, fixed)
    check_memory(engine_bytes(fixed.array.shape), "moving, fixed", "crop or resample the images")
    preset = config.preset or "default"
    if dry_run:
        return _describe(config, fixed, f"none, preset {preset}")
    import_keras()

    from app.systems.registration.engine import EngineRegistrar
    from app.systems.registration.write import save_registration

    folder.open(config)
    weights = None  # what lies outside of the moving image is not compared
    if not moving.same_grid(fixed):
        weights = inside(moving, displacement_in_moving(moving, fixed))[..., None].astype("float32")
    registrar = EngineRegistrar(preset, weights, repeated=False)
    save_registration(registrar, IntensityRule(), volumes, (), config, folder)


def _describe(config, fixed, model):
    print(config_text(config))
    print(f"model: {model}")
    print(f"grid: {fixed.array.shape}, spacing {_mm(fixed.spacing_mm)} mm\ndry run: nothing was written")


def _note_differences(contract, fixed):
    """What differs between the images of the training and these."""
    if not np.allclose(fixed.spacing_mm, contract.spacing_mm, rtol=0.05):
        note(
            f"the model was trained at {_mm(contract.spacing_mm)} mm, these images have "
            f"{_mm(fixed.spacing_mm)} mm; expect less than its report shows"
        )
    if contract.orientation and orientation(fixed) != contract.orientation:
        note(
            f"the model was trained on images with axes {contract.orientation}, these have {orientation(fixed)}; "
            "reorient them, or expect less than its report shows"
        )


def _read(config, rank):
    """All volumes, or every problem with them; of `rank` axes, or of 2 or 3 where that is None."""
    problems, volumes = [], {}
    for name in ("moving", "fixed"):
        volumes[name], lines = check_image(getattr(config, name), rank, config.nan)
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


def _mm(spacing):
    return " x ".join(f"{value:.3g}" for value in spacing)


def _check_one_grid(config, volumes):
    moving, fixed = volumes["moving"], volumes["fixed"]
    if not moving.same_grid(fixed, (config.moving, config.fixed)):
        raise UserError(
            f"{config.moving}: grid {moving.array.shape} at {_mm(moving.spacing_mm)} mm differs from that of "
            f"{config.fixed}, {fixed.array.shape} at {_mm(fixed.spacing_mm)} mm; resample one to the other first, or "
            "register without a model"
        )
