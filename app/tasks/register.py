"""Task `register`: register two image files with a trained model."""

import numpy as np

from app.config import config_text
from app.errors import UserError, list_problems
from app.notes import note
from app.quiet import import_keras
from app.systems import find_system
from app.systems.opened import open_run
from app.systems.registration.checks import check_image, check_labels, orientation
from app.systems.registration.cost import register_bytes
from app.training.cost import check_memory
from app.training.run_folder import RunFolder


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
    trained = open_run(config.model, find_system("hypermorph"))
    contract = trained.contract
    hyper = contract.hyper_vector(config.hyper)
    volumes = _read(config, len(contract.shape))
    fixed = volumes["fixed"]
    check_memory(register_bytes(fixed.array.shape), "moving, fixed", "crop or resample the images")
    _note_differences(contract, fixed)
    if dry_run:
        print(config_text(config))
        print(f"model: {trained.model_file}, {dict(zip(contract.hyper, hyper, strict=True))}")
        return print(f"grid: {fixed.array.shape}, spacing {_mm(fixed.spacing_mm)} mm\ndry run: nothing was written")
    import_keras()

    from app.systems.registration.write import save_registration

    registrar = trained.predictor(config, config.precision)
    folder.open(config)
    save_registration(registrar, volumes, hyper, config, folder)


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
    """All volumes, or every problem with them."""
    problems, volumes = [], {}
    for name in ("moving", "fixed"):
        volumes[name], lines = check_image(getattr(config, name), rank, config.nan)
        problems += lines
    list_problems(problems)
    moving, fixed = volumes["moving"], volumes["fixed"]
    if not moving.same_grid(fixed, (config.moving, config.fixed)):
        raise UserError(
            f"{config.moving}: grid {moving.array.shape} at {_mm(moving.spacing_mm)} mm differs from that of "
            f"{config.fixed}, {fixed.array.shape} at {_mm(fixed.spacing_mm)} mm; resample one to the other first"
        )
    for name, image in (("moving_labels", moving), ("fixed_labels", fixed)):
        if getattr(config, name) is not None:
            volumes[name], lines = check_labels(getattr(config, name), image)
            problems += lines
    if "fixed_labels" in volumes and "moving_labels" not in volumes:
        problems.append("moving_labels: missing, there is nothing to compare fixed_labels with; give both")
    list_problems(problems)
    return volumes


def _mm(spacing):
    return " x ".join(f"{value:.3g}" for value in spacing)
