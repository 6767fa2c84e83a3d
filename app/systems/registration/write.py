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
from app.systems.registration.figures import registration_slices
from app.systems.registration.measure import jacobian, regularity, warp_labels
from app.training.run_folder import log
from nets.losses import ncc_loss
from nets.ops import sample


def save_registration(registrar, volumes, hyper, config, folder):
    """Register two volumes, and write what the registration is.

    `moved.nii.gz` (and `moved_labels.nii.gz`) with the fixed image's header, `displacement.nii.gz` (ITK convention),
    `jacobian.nii.gz`, `metrics.json`, `figures/registration.png` and `report.html`.

    Args:
        registrar: `NetworkRegistrar`.
        volumes: Dict of `moving` and `fixed`, and perhaps `moving_labels` and `fixed_labels`, `Volume`s on one grid.
        hyper: Hyper-parameter values.
        config: `RegisterConfig`.
        folder: `RunFolder`, open.

    Raises:
        UserError: If a result is not finite; nothing is written then.
    """
    moving, fixed, contract = volumes["moving"], volumes["fixed"], registrar.contract
    prepared = [
        contract.intensity.unit_range(volumes[name].array, getattr(config, name))[..., None]
        for name in ("moving", "fixed")
    ]
    result = registrar(*prepared, hyper)
    field, determinant = result.displacement, jacobian(result.displacement)
    moved = _warped(moving.array, field)
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
        measures |= _save_labels(volumes, field, folder)
    write_json(folder.path / "metrics.json", measures)
    figure = registration_slices(
        *(image[..., 0] for image in (*prepared, result.moved)), field, determinant, fixed.spacing_mm
    )
    path = _write_page(config, folder, figure, measures, contract.simulated)
    log(f"moved image: {folder.path / 'moved.nii.gz'}")
    log(f"report: {path}")


def _warped(array, field):
    moved = keras.ops.convert_to_numpy(sample(array[None, ..., None].astype("float32"), field[None]))[0, ..., 0]
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


def _write_page(config, folder, figure, measures, simulated):
    note = "The model was trained on simulated images: not for use on patients." if simulated else None
    report = Report(f"Registration: {config.moving.name} to {config.fixed.name}", folder, note)
    report.table([{"measure": key, "value": value} for key, value in measures.items() if not isinstance(value, dict)])
    report.figure("registration", figure, "Middle slices")
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    return report.write()


def _write_like(path, array, fixed):
    write_volume(path, dataclasses.replace(fixed, array=check_finite(array, path)))
