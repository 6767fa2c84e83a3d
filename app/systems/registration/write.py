"""One registration as files: images, transform, metrics, a page."""

import dataclasses

import keras
import numpy as np

from app.config import config_text
from app.data.warps import write_displacement
from app.data.write import write_volume
from app.files import write_json
from app.finite import check_finite
from app.reporting.html import Report
from app.reporting.overlap import dice_per_label
from app.systems.registration.figures import registration_slices, similarity_curve
from app.systems.registration.measure import jacobian, regularity, warp_labels
from app.systems.registration.placed import displacement_in_moving, inside
from app.training.run_folder import log
from nets.losses import ncc_loss
from nets.ops import sample


def save_registration(registrar, intensity, volumes, hyper, config, folder, warning=None):
    """Register two volumes, and write what the registration is.

    `moved.nii.gz` (and `moved_labels.nii.gz`) with the fixed image's header, `displacement.nii.gz` (ITK convention),
    `jacobian.nii.gz`, `metrics.json`, `figures/registration.png` and `report.html`.

    Args:
        registrar: `Registrar`.
        intensity: `IntensityRule` of its images.
        volumes: Dict of `moving` and `fixed`, and perhaps `moving_labels` and `fixed_labels`, `Volume`s. Where the
            grids differ the moving image is read where both headers place the fixed one's voxels.
        hyper: Hyper-parameter values.
        config: `RegisterConfig`.
        folder: `RunFolder`, open.
        warning: First line of the page, such as that a model was trained on simulated images; None for none.

    Raises:
        UserError: If a result is not finite; nothing is written then.
    """
    moving, fixed = volumes["moving"], volumes["fixed"]
    prepared = _prepared(intensity, volumes, config)
    result = registrar(*prepared, hyper)
    field, determinant = result.displacement, jacobian(result.displacement)
    read_at = displacement_in_moving(moving, fixed, field)
    moved = _warped(moving, read_at, fill=not moving.same_grid(fixed))
    check_finite(determinant.astype("float32"), "the Jacobian determinant")  # all before the first file is written
    names = [each.name for each in registrar.hyper_parameters]
    measures = {
        "hyper": dict(zip(names, hyper, strict=True)),
        "ncc_before": _ncc(prepared[1], prepared[0]),
        "ncc_after": _ncc(prepared[1], result.moved),
        **regularity(field, determinant),
        "largest_displacement_mm": float(np.linalg.norm(field * np.array(fixed.spacing_mm), axis=-1).max()),
        "seconds_with_preparation": result.seconds,  # TensorFlow's tracing and compilation for this size
    }
    _write_like(folder.path / "moved.nii.gz", moved, fixed)
    _write_like(folder.path / "jacobian.nii.gz", determinant.astype("float32"), fixed)
    write_displacement(folder.path / "displacement.nii.gz", field, fixed.affine)
    if "moving_labels" in volumes:
        measures |= _save_labels(volumes, read_at, folder)
    write_json(folder.path / "metrics.json", measures)
    figure = registration_slices(
        *(image[..., 0] for image in (*prepared, result.moved)), field, determinant, fixed.spacing_mm
    )
    log(
        f"correlation of the images {measures['ncc_before']:.3f} before, {measures['ncc_after']:.3f} after; "
        f"{measures['folding_percent']:.3g} % of the voxels fold; {result.seconds:.1f} seconds"
    )
    path = _write_page(config, folder, figure, measures, warning, getattr(registrar, "curve", None))
    log(f"moved image: {folder.path / 'moved.nii.gz'}")
    log(f"report: {path}")


def _prepared(intensity, volumes, config):
    """Both images in [0, 1] on the fixed image's grid."""
    moving, fixed = (
        dataclasses.replace(volumes[name], array=intensity.unit_range(volumes[name].array, getattr(config, name)))
        for name in ("moving", "fixed")
    )
    if not moving.same_grid(fixed):
        # Its edge, not a fill, goes on outside: a jump there would pull at the voxels within.
        moving = dataclasses.replace(moving, array=_warped(moving, displacement_in_moving(moving, fixed)))
    return moving.array[..., None], fixed.array[..., None]


def _warped(moving, read_at, fill=False):
    """The moving image where it is read; outside of it its smallest value if `fill`, else its edge."""
    array = moving.array
    moved = keras.ops.convert_to_numpy(sample(array[None, ..., None].astype("float32"), read_at[None]))[0, ..., 0]
    if fill:
        moved = np.where(inside(moving, read_at), moved, array.min())
    if np.issubdtype(array.dtype, np.integer):
        moved = np.rint(moved).astype(array.dtype)
    return check_finite(moved, "the moved image")


def _ncc(fixed, image):
    return -float(ncc_loss(fixed[None], image[None])[0])


def _save_labels(volumes, field, folder):
    """Write the moved labels; measures of them, where the fixed image has labels too."""
    labels = np.asarray(volumes["moving_labels"].array)
    values = np.unique(labels)
    places = np.searchsorted(values, labels)
    moved = values[warp_labels(places[..., None], field)[..., 0]].astype(labels.dtype)
    if not volumes["moving"].same_grid(volumes["fixed"]):
        moved = np.where(inside(volumes["moving"], field), moved, 0).astype(labels.dtype)
    _write_like(folder.path / "moved_labels.nii.gz", moved, volumes["fixed"])
    if "fixed_labels" not in volumes:
        return {}
    target = volumes["fixed_labels"].array
    common = [int(value) for value in np.intersect1d(values, target) if value != 0]
    alone = [int(value) for value in np.setxor1d(values, target) if value != 0]
    if alone:
        log(f"labels in one of the two maps only, left out of the Dice: {', '.join(map(str, alone))}")
    measures = {"labels_in_one_map_only": alone}
    for name, maps in (("dice_before", labels), ("dice", moved)):
        scores = [
            float(dice_per_label((target == value).astype(int), (maps == value).astype(int), 1)[0]) for value in common
        ]
        measures[name] = dict(zip(common, scores, strict=True))
        measures[f"mean_{name}"] = float(np.mean(scores)) if scores else None
    return measures


def _write_page(config, folder, figure, measures, warning, curve):
    report = Report(f"Registration: {config.moving.name} to {config.fixed.name}", folder, warning)
    report.table([{"measure": key, "value": value} for key, value in measures.items() if not isinstance(value, dict)])
    report.figure("registration", figure, "Middle slices")
    if curve:
        report.figure("similarity", similarity_curve(curve), "Mean squared local correlation over the iterations")
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    return report.write()


def _write_like(path, array, fixed):
    write_volume(path, dataclasses.replace(fixed, array=check_finite(array, path)))
