"""Masks, transforms and surfaces of files, folders and DICOM series."""

import numpy as np

from app.data.points import check_points, read_points
from app.data.surfaces import SUFFIX, WRITERS, surface
from app.data.template_file import template_affine, write_template
from app.data.volumes import Volume, write_volume
from app.data.warps import write_displacement
from app.files import write_json
from app.quiet import import_keras
from app.tasks.predict_volumes import predict_volumes
from segmentation.template import Template


def predict(folder, config, inputs, to, points=None, dry_run=False):
    """Segment volumes with a trained network.

    Each volume gets on its own grid `NAME_mask.nii.gz` and, of a deformed template, `NAME_displacement.nii.gz` (ITK
    convention: it warps the run's `template.nii.gz` onto the volume); `NAME.json`; one surface per structure.
    `volumes.csv` has one line per volume. Files that cannot be read are listed at the end; all others are processed.

    Args:
        folder: `RunFolder` of the training.
        config: `TemplateConfig`, for refinement, surface and largest component.
        inputs: Files; folders of files or of DICOM series.
        to: Folder for the results.
        points: CSV of points that the mask of one volume must obey, or None.
        dry_run: List only.

    Raises:
        UserError: If nothing was trained, nothing is found, points contradict each other or lie outside, or some
            volumes could not be segmented. Points that no admissible shape can meet are flagged.
    """

    def load():
        import_keras()

        from app.tasks.template_model import Segmenter
        from app.training.template_contract import TemplateContract
        from app.training.train import load_trained

        model, contract = load_trained(folder, TemplateContract, "template")
        given = read_points(points, contract.labels) if points is not None else None
        segment = Segmenter(model, contract, config.refinement_steps, config.largest_component)
        return lambda one: _segment(one, segment, contract, config.surface, given, to)

    alone = "--points: they lie in one volume; give one --input of one volume" if points is not None else None
    predict_volumes("template", inputs, load, to, "volumes.csv", "segmented", dry_run, alone, config.data.nan)


def _segment(one, segment, contract, wanted, given, to):
    volume = one.volume()
    if given is not None:
        check_points(given, volume, contract.spacing_mm / 2)
    found = segment(volume, given, one.path)
    write_volume(to / f"{one.name}_mask.nii.gz", Volume(found.mask, volume.affine))
    if found.reached is not None:
        field = to_template(found, volume, contract)
        write_displacement(to / f"{one.name}_displacement.nii.gz", field, volume.affine)
        if len(found.shares) > 1:
            mixed = Template(found.template[None], contract.spacing_mm, contract.labels)
            write_template(to / f"{one.name}_template.nii.gz", mixed)
    if wanted != "none":
        for index, label in enumerate(contract.labels):
            distances = found.distances[..., index]
            name = one.name if len(contract.labels) == 1 else f"{one.name}_{label}"
            file = to / f"{name}{SUFFIX[wanted]}"
            if distances.max() > 0 > distances.min():
                WRITERS[wanted](file, *surface(distances, volume.affine))
            else:
                file.unlink(missing_ok=True)  # of an earlier prediction
    voxel_ml = abs(np.linalg.det(volume.affine[:3, :3])) / 1000
    row = {
        "volume": one.name, "image": str(one.path), "simulated_training": contract.simulated,
        **{f"volume_ml_{label}": round(float(np.sum(found.mask == label) * voxel_ml), 3) for label in contract.labels},
        "topology": "; ".join(map(str, found.topologies)), "template_topology": found.right,
        "folding_voxels": found.folding,
    }  # fmt: skip
    flags = list(one.series.flags if one.series else [])
    if not found.mask.any():
        flags.append("nothing was found")
    if found.seen < 1:
        flags.append("the network sees next to nothing: the mask is more of the template than of the image")
    if not found.right:
        flags.append("another topology than the template's")
    if found.local_share < 1:
        flags.append(f"only {found.local_share:g} of the local deformation: all of it would fold or break the topology")
    if given is not None:
        row["points_met"] = f"{found.points_met} of {len(given.places)}"
        if found.points_met < len(given.places):
            flags.append(f"only {row['points_met']} points could be met by an admissible shape")
    pose = found.pose and [round(one, 4) for one in found.pose]
    shares = None if found.shares is None else [round(float(share), 4) for share in found.shares]
    write_json(to / f"{one.name}.json", {**row, "pose": pose, "template_shares": shares, "flags": flags})
    sizes = ", ".join(f"{row[f'volume_ml_{label}']:.1f} ml" for label in contract.labels)
    print(f"{one.name}: {sizes}; {found.topologies[0]}" + "".join(f"; {flag}" for flag in flags), flush=True)
    return [{**row, "flags": "; ".join(flags)}]


def to_template(found, volume, contract):
    """The transform on a volume's own grid.

    Args:
        found: `TemplateSegmentation` of a deformed template.
        volume: `Volume`.
        contract: `TemplateContract`.

    Returns:
        `(i, j, k, 3)`: from each voxel to where the template is read, as a vector in voxels of the volume.
    """
    onto = np.linalg.inv(volume.affine) @ template_affine(contract.size, contract.spacing_mm)
    vectors = found.reached @ onto[:3, :3].T.astype("float32") + onto[:3, 3].astype("float32")
    for axis, places in enumerate(np.indices(volume.array.shape[:3], dtype="float32", sparse=True)):
        vectors[..., axis] -= places
    return vectors
