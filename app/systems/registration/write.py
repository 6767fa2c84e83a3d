"""One registration as files: images, transform, metrics, a page."""

import dataclasses

import keras
import numpy as np

from app.config import config_text
from app.data.volume import Volume
from app.data.write import write_volume
from app.files import write_json
from app.finite import check_finite
from app.notes import said
from app.reporting.html import Report
from app.reporting.overlap import dice_per_label
from app.systems.registration.figures import (
    checkerboards,
    jacobian_histogram,
    registration_slices,
    similarity_curve,
)
from app.systems.registration.grids import Grid, displaced, inside, voxel_matrix
from app.systems.registration.inverse import write_inverse
from app.systems.registration.measure import jacobian, regularity, warp_labels
from app.systems.registration.names import result_files, write_sidecars
from app.systems.registration.placed import Warp
from app.training.run_folder import log
from app.transforms.dicom import is_series, write_dicom_transform
from app.transforms.fields import write_field
from app.transforms.itk import write_itk
from app.transforms.transform import Field, Linear
from nets.losses import ncc_loss
from nets.ops import sample


def save_registration(registrar, pair, hyper, config, folder, warning=None, page=True):
    """Register a pair, and write what the registration is.

    `moved.nii.gz` (and `moved_labels.nii.gz`), `displacement.nii.gz` (ITK convention, the affine part included) and
    `jacobian.nii.gz` on the grid that the config names, `affine.tfm` where one was computed or given, `metrics.json`,
    `figures/` and `report.html`.

    Args:
        registrar: `Registrar`.
        pair: `Pair`.
        hyper: Hyper-parameter values.
        config: `RegisterConfig`.
        folder: `RunFolder`, open.
        warning: First line of the page, such as that a model was trained on simulated images; None for none.
        page: Whether figures and a page are made.

    Raises:
        UserError: If a result is not finite; nothing is written then.
    """
    moving, fixed = pair.volumes["moving"], pair.volumes["fixed"]
    result = registrar(pair.moving, pair.fixed, hyper)
    warp = pair.warp(result.displacement)
    output = {"fixed": Grid.of(fixed, fixed), "moving": Grid.of(moving, fixed), "working": pair.grid}[config.grid]
    read_at = warp.read_at(output)
    moved = _warped(moving, read_at)
    field = _by_headers(read_at, output, moving, fixed)
    determinant = jacobian(result.displacement)
    for array, what in ((field, "the displacement"), (determinant, "the Jacobian determinant")):
        check_finite(array.astype("float32"), what)  # all before the first file is written
    measures = _measures(registrar, pair, hyper, result, determinant)
    like = _like(output, moving, fixed, config)
    files = result_files(config, folder)
    write_volume(files["moved"], dataclasses.replace(like, array=check_finite(moved, "the moved image")))
    write_volume(files["jacobian"], dataclasses.replace(like, array=jacobian(field)))
    field = Field.of_voxels(field, output.affine)  # in place of the other: each is as large as three images
    _write_transforms(pair, field, config, files)
    if config.inverse:
        measures |= write_inverse(pair, result, registrar, files["inverse"])
    if "moving_labels" in pair.volumes:
        measures |= _save_labels(pair, warp, read_at, like, files["labels"])
    write_sidecars(config, files)
    write_json(folder.path / "metrics.json", measures)
    _say(measures, result.seconds)
    log(f"moved image: {files['moved']}")
    if page:
        figures = _figures(pair, result, determinant, getattr(registrar, "curve", None))
        log(f"report: {_write_page(config, folder, figures, measures, warning)}")


def _measures(registrar, pair, hyper, result, determinant):
    """How well the images fit, and how regular the deformation is."""
    names = [each.name for each in registrar.hyper_parameters]
    similarity = getattr(registrar, "similarity", None)
    measures = {
        "hyper": dict(zip(names, hyper, strict=True)),
        "similarity": similarity,
        **pair.placement.measures,
        "ncc_before": _ncc(pair.fixed, pair.unaligned, similarity),
        "ncc_after_affine": _ncc(pair.fixed, pair.moving, similarity),
        "ncc_after": _ncc(pair.fixed, result.moved, similarity),
        **regularity(result.displacement, determinant),
        "largest_displacement_mm": _largest(result.displacement, pair.grid.spacing_mm),
        "seconds_with_preparation": result.seconds,  # TensorFlow's tracing and compilation for this size
    }
    if not pair.placement.aligned:
        del measures["ncc_after_affine"]
    return measures


def _write_transforms(pair, field, config, files):
    """The whole warp; of volumes the affine part, where it is another than that by the headers, and DICOM's object."""
    write_field(files["displacement"], field)
    moving, fixed = pair.volumes["moving"], pair.volumes["fixed"]
    if field.flat:
        return
    if is_series(config.moving) and is_series(config.fixed):
        write_dicom_transform(config.output / "registration.dcm", field, config.moving, config.fixed)
    if not np.array_equal(pair.placement.to_moving, voxel_matrix(moving, fixed)):
        write_itk(files["affine"], [Linear(pair.placement.world(moving, fixed))])


def _largest(field, spacing_mm):
    squares = sum(np.square(field[..., axis] * np.float32(side)) for axis, side in enumerate(spacing_mm))
    return float(np.sqrt(squares.max()))


def _by_headers(read_at, output, moving, fixed):
    """The whole warp as a displacement in voxels of the output grid, where the headers place both images."""
    matrix = np.linalg.solve(output.to_fixed, np.linalg.inv(voxel_matrix(moving, fixed)))
    return displaced(matrix, read_at)


def _like(output, moving, fixed, config):
    """A volume whose header the results take."""
    if config.grid == "working":
        return Volume(None, output.affine)
    return moving if config.grid == "moving" else fixed


def _warped(moving, read_at):
    """The moving image where it is read; its smallest value beyond it, and its own type."""
    array = moving.array
    moved = keras.ops.convert_to_numpy(sample(array[None, ..., None].astype("float32"), read_at[None]))[0, ..., 0]
    moved = np.where(inside(array.shape, read_at), moved, array.min())
    if np.issubdtype(array.dtype, np.integer):
        moved = np.rint(moved).astype(array.dtype)
    return moved


def _ncc(fixed, image, similarity):
    """Mean squared local correlation; of other contrasts that of either sign, which the loss counts as none."""
    signs = (image, 1.0 - image) if similarity in ("mapped", "nmi", "mind") else (image,)
    return -sum(float(ncc_loss(fixed[None], each[None])[0]) for each in signs)


def _say(measures, seconds):
    aligned = "ncc_after_affine" in measures
    middle = f", {measures['ncc_after_affine']:.3f} after the affine" if aligned else ""
    log(
        f"mean local correlation of the images {measures['ncc_before']:.3f} before{middle}, "
        f"{measures['ncc_after']:.3f} after; {measures['folding_percent']:.3g} % of the voxels fold; "
        f"{seconds:.1f} seconds"
    )
    if measures.get("mean_dice") is not None:
        middle = f", {measures['mean_dice_after_affine']:.3f} after the affine" if aligned else ""
        log(f"mean Dice {measures['mean_dice_before']:.3f} before{middle}, {measures['mean_dice']:.3f} after")
        if measures["mean_dice"] < measures["mean_dice_before"]:
            log("the labels overlap less than before: try affine=none or rigid, and look at the figures")


def _save_labels(pair, warp, read_at, like, file):
    """Write the moved labels; measures of them, where the fixed image has labels too."""
    volumes = pair.volumes
    moving, fixed = volumes["moving"], volumes["fixed"]
    moved = _moved_labels(volumes["moving_labels"], read_at)
    write_volume(file, dataclasses.replace(like, array=moved))
    if "fixed_labels" not in volumes:
        return {}
    target, own = volumes["fixed_labels"].array, Grid.of(fixed, fixed)
    stages = {"dice_before": Warp(own, None, voxel_matrix(moving, fixed))}
    if pair.placement.aligned:
        stages["dice_after_affine"] = pair.warp(None)
    maps = {name: _moved_labels(volumes["moving_labels"], stage.read_at(own)) for name, stage in stages.items()}
    maps["dice"] = moved if like is fixed else _moved_labels(volumes["moving_labels"], warp.read_at(own))
    values = np.unique(volumes["moving_labels"].array)
    common = [int(value) for value in np.intersect1d(values, target) if value != 0]
    alone = [int(value) for value in np.setxor1d(values, target) if value != 0]
    if alone:
        log(f"labels in one of the two maps only, left out of the Dice: {', '.join(map(str, alone))}")
    measures = {"labels_in_one_map_only": alone}
    for name, labels in maps.items():
        scores = [
            float(dice_per_label((target == value).astype(int), (labels == value).astype(int), 1)[0])
            for value in common
        ]
        measures[name] = dict(zip(common, scores, strict=True))
        measures[f"mean_{name}"] = float(np.mean(scores)) if scores else None
    return measures


def _moved_labels(volume, read_at):
    """A label map where it is read; 0 beyond it."""
    labels = np.asarray(volume.array)
    values = np.unique(labels)
    places = np.searchsorted(values, labels)
    moved = values[warp_labels(places[..., None], read_at)[..., 0]]
    return np.where(inside(labels.shape, read_at), moved, 0).astype(labels.dtype)


def _figures(pair, result, determinant, curve):
    """Name, figure and caption of each."""
    seen = pair.weights  # beyond the moving image its edge goes on, for the comparison alone
    images = [image[..., 0] for image in (seen * pair.moving, pair.fixed, seen * result.moved)]
    spacing = pair.grid.spacing_mm
    stages = {"by the headers": pair.unaligned[..., 0], "after the affine": images[0], "after the warp": images[2]}
    if not pair.placement.aligned:
        del stages["after the affine"]
    yield (
        "registration",
        registration_slices(*images, result.displacement, determinant, spacing),
        "Middle slices of the working grid; the moving image after its alignment; black where only one image is",
    )
    yield (
        "checkerboard",
        checkerboards(images[1], stages, spacing),
        "Fixed and moving image in turns: edges should go on from field to field",
    )
    yield (
        "jacobian",
        jacobian_histogram(determinant),
        "Jacobian determinant of the deformable part over the working grid",
    )
    if curve:
        yield "similarity", similarity_curve(curve), "Similarity over the iterations of each level"


def _write_page(config, folder, figures, measures, warning):
    report = Report(f"Registration: {config.moving.name} to {config.fixed.name}", folder, warning)
    report.table([{"measure": key, "value": value} for key, value in measures.items() if not isinstance(value, dict)])
    for line in said():
        report.text(f"Note: {line}")
    for name, figure, caption in figures:
        report.figure(name, figure, caption)
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    return report.write()
