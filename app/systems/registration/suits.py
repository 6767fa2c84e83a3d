"""Whether images are such as a registration expects; said in a line where they are not."""

import numpy as np

from app.notes import note
from app.systems.registration.checks import orientation
from app.systems.registration.grids import in_mm, shown_points

FEW_VALUES = 256  # distinct whole numbers that a label map may have
FLAT = 0.6  # share of neighbours along the first axis that are equal where neither is background
CUT = 0.02  # of what is not background, beyond the working grid


def note_labels(path, volume):
    """Say so where an image looks like a label map.

    Args:
        path: Its file.
        volume: `Volume`.
    """
    array = volume.array
    if array.dtype.kind not in "iub" and not np.array_equal(array, np.rint(array)):
        return
    both = (array[1:] != 0) & (array[:-1] != 0)
    equal = np.count_nonzero((array[1:] == array[:-1]) & both) / max(np.count_nonzero(both), 1)
    if equal > FLAT and len(np.unique(array)) <= FEW_VALUES:
        note(f"{path}: looks like a label map, registered as an image; give the image, and this as its labels")


def note_differences(contract, config, volumes, grid):
    """What differs between the images of a model's training and these.

    Args:
        contract: `RegistrationContract`.
        config: `RegisterConfig`.
        volumes: Dict of `moving` and `fixed`, `Volume`s.
        grid: `Grid` on which the network is run.
    """
    fixed = volumes["fixed"]
    if fixed.array.ndim == 2 and contract.orientation and orientation(fixed) != contract.orientation:
        note(
            f"the model was trained on images with axes {contract.orientation}, these have {orientation(fixed)}; "
            "reorient them, or expect less than its report shows"
        )
    if not np.array_equal(grid.to_fixed, np.eye(len(grid.to_fixed))):
        note(
            f"{config.fixed}: {in_mm(fixed.spacing_mm)} mm {orientation(fixed)}; resampled to the model's grid, "
            f"{in_mm(grid.spacing_mm)} mm {orientation(grid)}, and results back"
        )
        _note_cut(config.fixed, fixed, grid)


def _note_cut(path, fixed, grid):
    matrix = np.linalg.inv(grid.to_fixed)
    there = shown_points(fixed.array) @ matrix[:-1, :-1].T + matrix[:-1, -1]
    beyond = np.mean(np.any((there < -0.5) | (there > np.array(grid.shape) - 0.5), axis=1))
    if beyond > CUT:
        note(
            f"{path}: {100 * beyond:.0f} % of what is not background lies beyond the field of view of the model's "
            "training, and is not registered; crop the image, or leave out model"
        )
