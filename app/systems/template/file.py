"""Templates as NIfTI files."""

import json
from pathlib import Path

import numpy as np

from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.files import whole_file
from app.finite import check_finite
from segmentation.template import Template

COMMENT = 6  # NIfTI's code for an extension of plain text


def template_affine(size, spacing_mm):
    """A template's grid: axes right, front, up; its middle at 0 mm.

    Args:
        size: Voxels along each axis.
        spacing_mm: Of the cube.

    Returns:
        `(4, 4)`, voxel to RAS millimetres.
    """
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = -spacing_mm * (size - 1) / 2
    return affine


def write_template(path, template):
    """Write signed distances (4D NIfTI: members times structures, in mm), and beside them the labels.

    `NAME.nii.gz` holds the distances, `NAME_labels.nii.gz` the first member's mask, to look at.

    Args:
        path: `NAME.nii.gz`.
        template: `Template`.

    Raises:
        UserError: If a distance is not finite.
    """
    import nibabel

    distances = check_finite(template.distances, f"{path}: distances")
    members, size, *_, structures = distances.shape
    content = np.moveaxis(distances, 0, -2).reshape(size, size, size, members * structures) * template.spacing_mm
    affine = template_affine(size, template.spacing_mm)
    image = nibabel.Nifti1Image(content.astype("float32"), affine)
    image.header.set_xyzt_units("mm")
    extension = {"kerasmorph": "template", "members": members, "labels": list(map(int, template.labels))}
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT, json.dumps(extension).encode()))
    with whole_file(path) as temporary:
        nibabel.save(image, temporary)
    name = path.name.removesuffix(".nii.gz")
    write_volume(path.with_name(f"{name}_labels.nii.gz"), Volume(template.labelled(), affine))


def read_template(path, size, spacing_mm):
    """Read what `write_template` wrote.

    Args:
        path: File.
        size: Voxels of the cube on which it is wanted.
        spacing_mm: Of that cube.

    Returns:
        `Template`.

    Raises:
        UserError: If the file is missing, no template, or on another grid.
    """
    path = Path(path)
    try:
        image = read_volume(path)
        extension = [
            json.loads(extension.get_content())
            for extension in image.header.extensions
            if extension.get_code() == COMMENT
        ]
        extension = next(value for value in extension if value.get("kerasmorph") == "template")
        content = np.asarray(image.array, "float32")
        members, labels = int(extension["members"]), tuple(extension["labels"])
        if (
            members < 1
            or len(set(labels)) < len(labels)
            or not all(type(label) is int and 0 < label < 65536 for label in labels)
        ):
            raise ValueError("labels must be different numbers from 1 to 65535")
        check_finite(content, "its distances")
        actual, spacing = content.shape[0], float(image.affine[0, 0])
        distances = content.reshape(*content.shape[:3], members, len(labels)) / spacing
    except Exception as error:  # nibabel, json and zlib raise their own kinds
        reason = " ".join(str(error).removeprefix(f"{path}: ").split())[:120] or type(error).__name__
        raise UserError(
            f"{path}: no template that can be read ({reason}); make one with 'python main.py template build', or give "
            "a mask as template.mask with template.kind=mask"
        ) from None
    if content.shape[:3] != (size,) * 3 or not np.isclose(spacing, spacing_mm, rtol=1e-4):
        raise UserError(
            f"{path}: on a grid of {actual} voxels of {spacing:g} mm, the config has {size} of {spacing_mm:g} mm; "
            "build it again, or set data.size and data.spacing_mm to the template's"
        )
    return Template(np.moveaxis(distances, -2, 0).copy(), float(spacing_mm), labels)
