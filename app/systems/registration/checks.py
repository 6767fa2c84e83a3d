"""Everything that can be wrong with a cohort, found before TensorFlow is loaded."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from app.errors import UserError, list_problems
from app.notes import note
from app.progress import progress


@dataclasses.dataclass(frozen=True)
class CohortSummary:
    """What a sound cohort is like.

    Args:
        shape: Spatial shape that the networks will see: the config's, else along each axis the largest.
        shapes: Set of the shapes of the files.
        spacing_mm: Voxel size of the first image.
        orientation: Its axes in anatomical letters, such as "RAS".
        structures: Label values to compare, in order; empty without labels.
    """

    shape: tuple
    shapes: set
    spacing_mm: tuple
    orientation: str
    structures: tuple


def check_cohort(subjects, config, rank):
    """Read every file of a cohort and list all that is wrong.

    Args:
        subjects: List of `Subject`.
        config: `CohortConfig`.
        rank: 2 or 3: how many axes the images must have.

    Returns:
        `CohortSummary`.

    Raises:
        UserError: Listing every problem of every file.
    """
    if not subjects:
        raise UserError("data: the cohort is empty; add subjects")
    unlabelled = [subject.name for subject in subjects if subject.labels is None]
    problems = []
    if unlabelled and len(unlabelled) < len(subjects):
        problems.append(
            f"data: {len(unlabelled)} subjects have no label file ({unlabelled[0]}, ...) but others have; "
            "give all of them labels or none"
        )
    if config.shape is not None and len(config.shape) != rank:
        problems.append(f"data.shape: {config.shape} has {len(config.shape)} numbers but network.rank is {rank}")
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda subject: _check_subject(subject, rank, config.nan), subjects)
        checked = list(progress(results, "checking the cohort", total=len(subjects)))
    for facts in checked:
        problems += facts["problems"]
    shapes = {facts["shape"] for facts in checked if "shape" in facts}
    grids = {facts["grid"]: subject for facts, subject in zip(checked, subjects, strict=True) if "grid" in facts}
    if len(grids) > 1:
        listed = "; ".join(f"{grid} ({subject.image})" for grid, subject in list(grids.items())[:3])
        problems.append(
            f"data: images differ in voxel size or orientation: {listed}; resample them to one spacing and axis order"
        )
    structures, absent = _structures(checked, config)
    problems += absent
    list_problems(problems)
    shape = tuple(config.shape or map(max, zip(*shapes, strict=True)))
    if config.shape is None and len(shapes) > 1:
        note(
            f"images have different shapes, {_several(shapes)}; all are padded with zeros about their centre "
            f"to {shape}; set data.shape for another"
        )
    return CohortSummary(shape, shapes, checked[0]["spacing_mm"], checked[0]["orientation"], structures)


def check_image(path, rank, nan="refuse", frame=None):
    """Read one image and check it.

    Args:
        path: Image file.
        rank: Number of axes it must have; None for 2 or 3.
        nan: As for `read_volume`.
        frame: Which frame of an image of 4 axes is taken; None refuses it.

    Returns:
        The `Volume`, or None, and the list of problems.
    """
    from app.data.read import read_volume
    from app.data.sound import not_finite

    try:
        volume = read_volume(path, nan)
    except UserError as error:
        return None, error.problems
    if rank in (None, 3) and volume.array.ndim == 4 and (rank is None or frame is not None):
        frames = volume.array.shape[-1]
        if frame is None or frame >= frames:
            return None, [f"{path}: an image of 4 axes, {frames} frames; choose one by frame: 0 to {frames - 1}"]
        volume = dataclasses.replace(volume, array=volume.array[..., frame])
    elif frame is not None:
        note(f"{path}: an image of {volume.array.ndim} axes has no frames to choose from; frame is not used for it")
    if rank is None and volume.array.ndim not in (2, 3):
        return None, [f"{path}: an image of {volume.array.ndim} axes {volume.array.shape}; give 2D or 3D images"]
    if rank is not None and volume.array.ndim != rank:
        return None, [
            f"{path}: a {volume.array.ndim}-dimensional image {volume.array.shape} where the network "
            f"needs {rank} dimensions; give {rank}D images, or use a network of that rank"
        ]
    if not np.issubdtype(volume.array.dtype, np.number) or np.iscomplexobj(volume.array):
        return None, [f"{path}: voxels of type {volume.array.dtype}; expected real numbers"]
    problems = [f"{path}: {problem}" for problem in not_finite(volume.array)]
    if problems:
        return volume, problems
    if volume.array.min() == volume.array.max():
        return volume, [f"{path}: every voxel is {volume.array.min()}; there is nothing to register"]
    return volume, []


def check_labels(path, image):
    """Read a label map and check it against its image.

    Args:
        path: Label file.
        image: `Volume` that it belongs to.

    Returns:
        The label `Volume`, or None, and the list of problems.
    """
    from app.data.read import read_labels

    try:
        labels = read_labels(path)
    except UserError as error:
        return None, error.problems
    if not labels.same_grid(image, (path, "its image")):
        return None, [
            f"{path}: labels {labels.array.shape} lie on another grid than their image "
            f"{image.array.shape} (shape or affine differ); resample them to the image"
        ]
    return labels, []


def _check_subject(subject, rank, nan):
    image, problems = check_image(subject.image, rank, nan)
    facts = {"problems": problems}
    if image is None:
        return facts
    facts |= {
        "shape": image.array.shape,
        "spacing_mm": image.spacing_mm,
        "orientation": orientation(image),
        "grid": _grid(image),
    }
    if subject.labels is not None:
        labels, more = check_labels(subject.labels, image)
        facts["problems"] = facts["problems"] + more
        if labels is not None:
            facts["labels"] = {int(value) for value in np.unique(labels.array)} - {0}
            facts["label_file"] = subject.labels
    return facts


def orientation(image):
    """Axes of an image in anatomical letters.

    Args:
        image: `Volume`.

    Returns:
        String such as "RAS"; of a 2D image, too, the three of its affine.
    """
    from nibabel import aff2axcodes

    return "".join(aff2axcodes(image.affine))


def _grid(image):
    """Voxel size (to two digits) and orientation, in words."""
    return f"{' x '.join(f'{size:.2g}' for size in image.spacing_mm)} mm {orientation(image)}"


def _structures(checked, config):
    """Label values to compare, and a line for each that an image lacks."""
    labelled = [facts for facts in checked if "labels" in facts]
    everywhere = set().union(*(facts["labels"] for facts in labelled))
    if config.structures is not None and not labelled:
        return (), ["data.structures: given, but the cohort has no label files; add them or remove the key"]
    structures = tuple(config.structures) if config.structures else tuple(sorted(everywhere))
    problems = [
        f"{facts['label_file']}: label {', '.join(map(str, missing))} is absent; leave it out of "
        "data.structures, remove the subject, or set data.allow_absent_labels: true to skip it there"
        for facts in labelled
        if not config.allow_absent_labels
        and (missing := [value for value in structures if value not in facts["labels"]])
    ]
    return structures, problems


def _several(shapes):
    listed = [str(shape) for shape in sorted(shapes)]
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
