"""The mask of a volume as files, and its table row."""

from app.data.volume import Volume
from app.data.write import write_volume
from app.files import write_json


def save_mask(volume, predictor, to):
    """Segment a volume, and write `NAME_mask.nii.gz` on its own grid and `NAME.json` (volume in ml, parts, and, of
    adapted networks, pose and probability of the target population).

    Args:
        volume: `Input`.
        predictor: `KidneyPredictor`.
        to: Folder for the results.

    Returns:
        List of one dict.

    Raises:
        UserError: If the volume cannot be read or segmented.
    """
    image = volume.volume()
    segmented = predictor(image, volume.path)
    probability, pose = predictor.adaptation(segmented.cube)
    write_volume(to / f"{volume.name}_mask.nii.gz", Volume(segmented.mask.astype("uint8"), image.affine))
    row = {
        "volume": volume.name, "image": str(volume.path), "simulated_training": predictor.contract.simulated,
        "volume_ml": round(segmented.volume_ml, 3), "components": segmented.components,
        "target_probability": probability,
    }  # fmt: skip
    flags = [*(volume.series.flags if volume.series else []), *(["nothing was found"] * (segmented.components == 0))]
    write_json(to / f"{volume.name}.json", {**row, "pose": pose, "flags": flags})
    print(f"{volume.name}: {segmented.volume_ml:.1f} ml" + "".join(f"; {flag}" for flag in flags), flush=True)
    return [{**row, "flags": "; ".join(flags)}]
