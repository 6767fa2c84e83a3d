"""Masks of files, folders and DICOM series."""

from app.data.inputs import find_volumes
from app.data.volumes import Volume, write_volume
from app.errors import UserError, list_problems
from app.files import write_csv, write_json
from app.quiet import import_keras


def predict(folder, inputs, to, dry_run=False):
    """Segment volumes with a trained network.

    Each volume gets `NAME_mask.nii.gz` on its own grid and `NAME.json` (volume in ml, parts, and, of adapted networks,
    pose and probability of the target population); `volumes.csv` has a line a volume. What cannot be read is listed
    at the end, and the rest is done all the same.

    Args:
        folder: `RunFolder` of the training.
        inputs: Files; folders of files or of DICOM series.
        to: Folder for the results.
        dry_run: List only.

    Raises:
        UserError: If nothing was trained, nothing is found, or some volumes could not be segmented.
    """
    found, problems = find_volumes(inputs, "kidney")
    import_keras()

    from app.tasks.kidney_model import load_kidney, segment

    model, contract = load_kidney(folder)
    if dry_run:
        list_problems(problems)
        print("\n".join(f"{one.name}: {one.path}" for one in found))
        return print(f"{len(found)} volumes would be segmented into {to}; nothing was written")
    rows = []
    for one in found:
        try:
            volume = one.volume()
            segmented = segment(model, contract, volume)
        except UserError as error:
            problems += [text if str(one.path) in text else f"{one.path}: {text}" for text in error.problems]
            continue
        write_volume(to / f"{one.name}_mask.nii.gz", Volume(segmented.mask.astype("uint8"), volume.affine))
        row = {
            "volume": one.name, "image": str(one.path), "simulated_training": contract.simulated,
            "volume_ml": round(segmented.volume_ml, 3), "components": segmented.components,
            "target_probability": segmented.target_probability,
        }  # fmt: skip
        flags = [*(one.series.flags if one.series else []), *(["nothing was found"] * (segmented.components == 0))]
        write_json(to / f"{one.name}.json", {**row, "pose": segmented.pose, "flags": flags})
        rows.append({**row, "flags": "; ".join(flags)})
        print(f"{one.name}: {segmented.volume_ml:.1f} ml" + "".join(f"; {flag}" for flag in flags), flush=True)
    if rows:
        write_csv(to / "volumes.csv", rows)
    print(f"{len(rows)} volumes segmented: {to}")
    list_problems(problems)
