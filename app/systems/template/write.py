"""Mask, transform and surfaces of a volume as files, and its table row."""

import numpy as np

from app.data.volume import Volume
from app.data.write import write_volume
from app.files import write_json
from app.finite import check_finite
from app.systems.template.file import template_affine, write_template
from app.systems.template.points import check_points, read_points
from app.systems.template.surfaces import SUFFIX, WRITERS, surface
from app.transforms.fields import write_field
from app.transforms.transform import Field
from segmentation.template import Template


def points_of(path, contract):
    """Points that a mask must obey.

    Args:
        path: File, or None.
        contract: `TemplateContract`.

    Returns:
        `Points`, or None.

    Raises:
        UserError: As `read_points`.
    """
    return None if path is None else read_points(path, contract.labels)


def save_segmentation(volume, predictor, to, points=None):
    """Segment a volume, and write the results.

    On its own grid `NAME_mask.nii.gz` and, of a deformed template, `NAME_displacement.nii.gz` (ITK convention: it warps
    the run's `template.nii.gz` onto the volume); `NAME.json`; one surface per structure.

    Args:
        volume: `Input`.
        predictor: `Segmenter`.
        to: Folder for the results.
        points: `Points` that the mask must obey, or None.

    Returns:
        List of one dict.

    Raises:
        UserError: If the volume cannot be read or segmented, or points contradict each other or lie outside. Points
            that no admissible shape can meet are flagged.
    """
    contract, image = predictor.contract, volume.volume()
    if points is not None:
        check_points(points, image, contract.spacing_mm / 2)
    segmented = predictor(image, points, volume.path)
    write_volume(to / f"{volume.name}_mask.nii.gz", Volume(segmented.mask, image.affine))
    if segmented.reached is not None:
        _write_transform(volume.name, segmented, image, contract, to)
    if predictor.config.surface != "none":
        _write_surfaces(volume.name, segmented, image, contract.labels, predictor.config.surface, to)
    row = _row(volume, segmented, image, contract)
    flags = _flags(volume, segmented)
    if points is not None:
        row["points_met"] = f"{segmented.points_met} of {len(points.places)}"
        if segmented.points_met < len(points.places):
            flags.append(f"only {row['points_met']} points could be met by an admissible shape")
    pose = segmented.pose and [round(number, 4) for number in segmented.pose]
    shares = None if segmented.shares is None else [round(float(share), 4) for share in segmented.shares]
    write_json(to / f"{volume.name}.json", {**row, "pose": pose, "template_shares": shares, "flags": flags})
    sizes = ", ".join(f"{row[f'volume_ml_{label}']:.1f} ml" for label in contract.labels)
    print(f"{volume.name}: {sizes}; {segmented.topologies[0]}" + "".join(f"; {flag}" for flag in flags), flush=True)
    return [{**row, "flags": "; ".join(flags)}]


def _write_transform(name, segmented, image, contract, to):
    path, displacement = to / f"{name}_displacement.nii.gz", to_template(segmented, image, contract)
    write_field(path, Field.of_voxels(check_finite(displacement, path), image.affine))
    if len(segmented.shares) > 1:
        mixed = Template(segmented.template[None], contract.spacing_mm, contract.labels)
        write_template(to / f"{name}_template.nii.gz", mixed)


def _write_surfaces(name, segmented, image, labels, kind, to):
    for index, label in enumerate(labels):
        distances = segmented.distances[..., index]
        file = to / f"{name if len(labels) == 1 else f'{name}_{label}'}{SUFFIX[kind]}"
        if distances.max() > 0 > distances.min():
            WRITERS[kind](file, *surface(distances, image.affine))
        else:
            file.unlink(missing_ok=True)  # of an earlier prediction


def _row(volume, segmented, image, contract):
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    sizes = {label: float(np.sum(segmented.mask == label) * voxel_ml) for label in contract.labels}
    return {
        "volume": volume.name, "image": str(volume.path), "simulated_training": contract.simulated,
        **{f"volume_ml_{label}": round(size, 3) for label, size in sizes.items()},
        "topology": "; ".join(map(str, segmented.topologies)), "template_topology": segmented.right,
        "folding_voxels": segmented.folding,
    }  # fmt: skip


def _flags(volume, segmented):
    flags = list(volume.series.flags if volume.series else [])
    if not segmented.mask.any():
        flags.append("nothing was found")
    if segmented.seen < 1:
        flags.append("the network sees next to nothing: the mask is more of the template than of the image")
    if not segmented.right:
        flags.append("another topology than the template's")
    if segmented.local_share < 1:
        flags.append(
            f"only {segmented.local_share:g} of the local deformation: all of it would fold or break the topology"
        )
    return flags


def to_template(segmented, image, contract):
    """The transform on a volume's own grid.

    Args:
        segmented: `TemplateSegmentation` of a deformed template.
        image: `Volume`.
        contract: `TemplateContract`.

    Returns:
        `(i, j, k, 3)`: from each voxel to where the template is read, as a vector in voxels of the volume.
    """
    onto = np.linalg.inv(image.affine) @ template_affine(contract.size, contract.spacing_mm)
    vectors = segmented.reached @ onto[:3, :3].T.astype("float32") + onto[:3, 3].astype("float32")
    for axis, places in enumerate(np.indices(image.array.shape[:3], dtype="float32", sparse=True)):
        vectors[..., axis] -= places
    return vectors
