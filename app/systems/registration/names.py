"""Names of a registration's files: ours, or those of BIDS derivatives with a JSON beside each."""

import re

from app.data.manifest import stem
from app.errors import UserError
from app.files import write_json

PLAIN = {
    "moved": "moved.nii.gz", "labels": "moved_labels.nii.gz", "jacobian": "jacobian.nii.gz",
    "displacement": "displacement.nii.gz", "inverse": "inverse.nii.gz", "affine": "affine.tfm",
}  # fmt: skip
DESCRIBED = {
    "moved": "The first source on the grid of the second, or the one asked for, by one resampling",
    "labels": "Labels of the first source on that grid, by the nearest voxel",
    "jacobian": "Jacobian determinant of the whole transform",
    "displacement": "Displacement from the second source to the first, affine part included: ITK, LPS millimetres",
    "inverse": "Displacement from the first source to the second: ITK, LPS millimetres",
    "affine": "The affine part alone, from the second source to the first: ITK, LPS millimetres",
}
ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9]+)")
WHOSE = ("sub", "tpl", "ses", "cohort")
DROPPED = ("space", "desc", "res", "den", "from", "to", "mode")  # of the moving image, which the result has anew


def result_names(config):
    """Names of the files that `register` writes.

    Args:
        config: `RegisterConfig` of one pair.

    Returns:
        Dict with the keys of `PLAIN`.

    Raises:
        UserError: If names of BIDS are asked for and an image has none.

    Reference:
        - BIDS 1.10, derivatives of imaging; BEP 14 for `_xfm`.
    """
    if config.names != "bids":
        return PLAIN
    moving, fixed = entities_of(config.moving), entities_of(config.fixed)
    own = _joined({key: value for key, value in moving.items() if key not in (*DROPPED, "suffix")})
    whose = _joined({key: value for key, value in moving.items() if key in WHOSE})
    to, start = space_of(fixed, moving), space_of(moving, fixed)
    transform = f"{whose}_from-{start}_to-{to}_mode-image"
    return {
        "moved": f"{own}_space-{to}_desc-registered_{moving['suffix']}.nii.gz",
        "labels": f"{own}_space-{to}_desc-registered_dseg.nii.gz",
        "jacobian": f"{own}_space-{to}_desc-jacobian_{moving['suffix']}.nii.gz",
        "displacement": f"{transform}_xfm.nii.gz",
        "inverse": f"{whose}_from-{to}_to-{start}_mode-image_xfm.nii.gz",
        "affine": f"{transform}_desc-affine_xfm.tfm",
    }


def moved_name(path, reference):
    """Name of an image that was brought to another's grid, as of a derivative of BIDS.

    Args:
        path: The image's file.
        reference: That of the image whose grid it has now.

    Raises:
        UserError: If one of them has no name of BIDS.
    """
    own, there = entities_of(path), entities_of(reference)
    kept = _joined({key: value for key, value in own.items() if key not in (*DROPPED, "suffix")})
    return f"{kept}_space-{space_of(there, own)}_{own['suffix']}.nii.gz"


def entities_of(path):
    """What the name of a BIDS file says.

    Args:
        path: Image.

    Returns:
        Dict from entity to value, and `suffix`.

    Raises:
        UserError: If it is no such name.
    """
    *parts, suffix = stem(path).split("_")
    matches = [ENTITY.fullmatch(part) for part in parts]
    if not parts or not all(matches) or not suffix.isalnum() or matches[0][1] not in ("sub", "tpl"):
        raise UserError(
            f"{path}: its name is none of BIDS, which names: bids needs; rename it, such as sub-01_ses-1_T1w.nii.gz, "
            "or leave out names"
        )
    return {match[1]: match[2] for match in matches} | {"suffix": suffix}


def space_of(image, other):
    """The label of an image's space: what of its name the other image does not share, letters and digits alone.

    Args:
        image: Of `entities_of`.
        other: The other image's.
    """
    if "tpl" in image:
        return image["tpl"] + image.get("cohort", "")
    differing = [key for key in ("sub", "ses", "acq", "run") if key in image and image[key] != other.get(key)]
    return "".join(f"{key}{image[key]}" for key in differing) + image["suffix"]


def result_files(config, folder):
    """Paths of the files that `register` writes.

    Args:
        config: `RegisterConfig` of one pair.
        folder: `RunFolder`.

    Returns:
        Dict with the keys of `PLAIN`.
    """
    return {key: folder.path / name for key, name in result_names(config).items()}


def write_sidecars(config, files):
    """Write a JSON beside each file that is there, where names are those of BIDS.

    Args:
        config: `RegisterConfig` of one pair.
        files: Of `result_files`.
    """
    for key, file in files.items():
        if config.names == "bids" and file.is_file():
            content = {"Description": DESCRIBED[key], "Sources": [str(config.moving), str(config.fixed)]}
            write_json(file.with_name(re.sub(r"\.(nii\.gz|tfm)$", ".json", file.name)), content)


def _joined(entities):
    return "_".join(f"{key}-{value}" for key, value in entities.items())
