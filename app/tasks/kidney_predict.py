"""Masks of files, folders and DICOM series."""

from app.data.volumes import Volume, write_volume
from app.files import write_json
from app.quiet import import_keras
from app.tasks.predict_volumes import predict_volumes


def predict(folder, inputs, to, largest_component=False, nan="refuse", dry_run=False):
    """Segment volumes with a trained network.

    Each volume gets `NAME_mask.nii.gz` on its own grid and `NAME.json` (volume in ml, parts, and, of adapted networks,
    pose and probability of the target population); `volumes.csv` has one line per volume.
    Files that cannot be read are listed at the end; all others are processed.

    Args:
        folder: `RunFolder` of the training.
        inputs: Files; folders of files or of DICOM series.
        to: Folder for the results.
        largest_component: Whether only the largest part of each mask is kept.
        nan: As for `read_volume`.
        dry_run: List only.

    Raises:
        UserError: If nothing was trained, nothing is found, or some volumes could not be segmented.
    """

    def load():
        import_keras()

        from app.training.kidney_contract import KidneyContract
        from app.training.train import load_trained

        model, contract = load_trained(folder, KidneyContract, "kidney")
        return lambda one: _segment(one, model, contract, to, largest_component)

    predict_volumes("kidney", inputs, load, to, "volumes.csv", "segmented", dry_run, nan=nan)


def _segment(one, model, contract, to, largest_component):
    from app.tasks.kidney_model import adaptation, segment

    volume = one.volume()
    segmented = segment(model, contract, volume, largest_component, one.path)
    probability, pose = adaptation(model, segmented.cube)
    write_volume(to / f"{one.name}_mask.nii.gz", Volume(segmented.mask.astype("uint8"), volume.affine))
    row = {
        "volume": one.name, "image": str(one.path), "simulated_training": contract.simulated,
        "volume_ml": round(segmented.volume_ml, 3), "components": segmented.components,
        "target_probability": probability,
    }  # fmt: skip
    flags = [*(one.series.flags if one.series else []), *(["nothing was found"] * (segmented.components == 0))]
    write_json(to / f"{one.name}.json", {**row, "pose": pose, "flags": flags})
    print(f"{one.name}: {segmented.volume_ml:.1f} ml" + "".join(f"; {flag}" for flag in flags), flush=True)
    return [{**row, "flags": "; ".join(flags)}]
