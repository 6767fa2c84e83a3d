"""Task `register`: register two image files with a trained model."""

import dataclasses

import numpy as np

from app.config import config_text
from app.data.checks import check_image, check_labels
from app.data.volumes import write_volume
from app.data.warps import write_displacement
from app.errors import UserError, list_problems
from app.files import write_json
from app.finite import check_finite
from app.notes import note
from app.quiet import import_keras
from app.tasks.network_cost import check_memory, register_bytes
from app.training.contract import find_model
from app.training.run_folder import RunFolder, log


def run(config, dry_run=False):
    """Register, and write what the registration is.

    Into the output folder: `moved.nii.gz` (and `moved_labels.nii.gz`) with the fixed image's
    header, `displacement.nii.gz` (ITK convention), `jacobian.nii.gz`, `metrics.json`,
    `figures/registration.png` and `report.html`.

    Args:
        config: `RegisterConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If a file, the grid, the model or a value is wrong.
    """
    folder = RunFolder(config.output)
    folder.check(config, ("output",))
    model_file, contract = find_model(config.model)
    hyper = contract.hyper_vector(config.hyper)
    volumes = _read(config, len(contract.shape))
    fixed = volumes["fixed"]
    check_memory(register_bytes(fixed.array.shape), "moving, fixed", "crop or resample the images")
    if not np.allclose(fixed.spacing_mm, contract.spacing_mm, rtol=0.05):
        note(
            f"the model was trained at {_mm(contract.spacing_mm)} mm, these images have "
            f"{_mm(fixed.spacing_mm)} mm; expect less than its report shows"
        )
    if dry_run:
        print(config_text(config))
        print(f"model: {model_file}, {dict(zip(contract.hyper, hyper, strict=True))}")
        print(f"grid: {fixed.array.shape}, spacing {_mm(fixed.spacing_mm)} mm\ndry run: nothing was written")
        return
    folder.open(config)
    _register(config, folder, model_file, contract, hyper, volumes)


def _register(config, folder, model_file, contract, hyper, volumes):
    keras = import_keras()

    from app.reporting.evaluate_pairs import jacobian, register_pair, regularity, warp_labels
    from app.reporting.overlap import dice_per_label
    from app.reporting.register_report import write_report
    from app.training.train import load_registration
    from nets.losses import ncc_loss
    from nets.ops import sample

    model = load_registration(model_file, contract, config.precision)
    moving, fixed = volumes["moving"], volumes["fixed"]
    prepared = [
        contract.intensity_rule.unit_range(volumes[name].array, getattr(config, name))[..., None]
        for name in ("moving", "fixed")
    ]
    result = register_pair(model, *prepared, hyper)
    displacement = result["displacement"]
    determinant = jacobian(displacement)
    raw = moving.array[None, ..., None].astype("float32")
    moved = keras.ops.convert_to_numpy(sample(raw, displacement[None]))[0, ..., 0]
    if np.issubdtype(moving.array.dtype, np.integer):
        moved = np.rint(moved).astype(moving.array.dtype)
    check_finite(moved, "the moved image")  # all of it before the first file is written
    check_finite(determinant.astype("float32"), "the Jacobian determinant")

    def ncc(image):
        return -float(ncc_loss(prepared[1][None], image[None])[0])

    figures = {
        "hyper": dict(zip(contract.hyper, hyper, strict=True)),
        "ncc_before": ncc(prepared[0]),
        "ncc_after": ncc(result["moved"]),
        **regularity(displacement, determinant),
        "largest_displacement_mm": float(np.linalg.norm(displacement * np.array(fixed.spacing_mm), axis=-1).max()),
        "seconds_with_preparation": result["seconds"],  # TensorFlow's tracing and compilation for this size
    }
    _write_like_fixed(folder.path / "moved.nii.gz", moved, fixed)
    _write_like_fixed(folder.path / "jacobian.nii.gz", determinant.astype("float32"), fixed)
    write_displacement(folder.path / "displacement.nii.gz", displacement, fixed.affine)
    if "moving_labels" in volumes:
        labels = np.asarray(volumes["moving_labels"].array)
        values = np.unique(labels)
        places = np.searchsorted(values, labels)
        moved_labels = values[warp_labels(places[..., None], displacement)[..., 0]].astype(labels.dtype)
        _write_like_fixed(folder.path / "moved_labels.nii.gz", moved_labels, fixed)
        if "fixed_labels" in volumes:
            target = volumes["fixed_labels"].array
            common = [int(value) for value in np.intersect1d(values, target) if value != 0]
            alone = [int(value) for value in np.setxor1d(values, target) if value != 0]
            figures["labels_in_one_map_only"] = alone
            if alone:
                log(f"labels in one of the two maps only, left out of the Dice: {', '.join(map(str, alone))}")
            for name, ours in (("dice_before", labels), ("dice", moved_labels)):
                scores = [dice_per_label((target == v).astype(int), (ours == v).astype(int), 1)[0] for v in common]
                figures[name] = dict(zip(common, map(float, scores), strict=True))
                figures[f"mean_{name}"] = float(np.mean(scores)) if scores else None
    write_json(folder.path / "metrics.json", figures)
    path = write_report(config, folder, prepared, result, determinant, fixed.spacing_mm, figures, contract.simulated)
    log(f"moved image: {folder.path / 'moved.nii.gz'}")
    log(f"report: {path}")


def _read(config, rank):
    """All volumes, or every problem with them."""
    problems, volumes = [], {}
    for name in ("moving", "fixed"):
        volumes[name], found = check_image(getattr(config, name), rank, config.nan)
        problems += found
    list_problems(problems)
    moving, fixed = volumes["moving"], volumes["fixed"]
    if not moving.same_grid(fixed, (config.moving, config.fixed)):
        raise UserError(
            f"{config.moving}: grid {moving.array.shape} at {_mm(moving.spacing_mm)} mm differs from that of "
            f"{config.fixed}, {fixed.array.shape} at {_mm(fixed.spacing_mm)} mm; resample one to the other first"
        )
    for name, image in (("moving_labels", moving), ("fixed_labels", fixed)):
        if getattr(config, name) is not None:
            volumes[name], found = check_labels(getattr(config, name), image)
            problems += found
    if "fixed_labels" in volumes and "moving_labels" not in volumes:
        problems.append("moving_labels: missing, there is nothing to compare fixed_labels with; give both")
    list_problems(problems)
    return volumes


def _write_like_fixed(path, array, fixed):
    write_volume(path, dataclasses.replace(fixed, array=check_finite(array, path)))


def _mm(spacing):
    return " x ".join(f"{value:.3g}" for value in spacing)
