"""Axial slices of a volume in whatever order and direction it was stored."""

import dataclasses

import numpy as np
from nibabel.orientations import aff2axcodes, apply_orientation, inv_ornt_aff, io_orientation
from scipy.ndimage import affine_transform

from app.data.intensity import IntensityRule
from app.data.sound import check_three_axes
from app.errors import UserError

OBLIQUE_DEGREES = 20.0
FINEST_MM = 2.5
AXIS_OF = {"R": "sagittal", "A": "coronal", "S": "axial"}


@dataclasses.dataclass(frozen=True)
class AxialStack:
    """Axial slices from the feet upwards.

    Args:
        slices: `(n, size, size)`, float32 in [0, 1]: rows from the front to the back, columns from the
            patient's right to the left, as radiologists look at them.
        heights_mm: `(n,)`: RAS height of each slice's middle.
        spacing_mm: Between two slices.
        indices: `(n,)`: index of each slice along `axis` of the file; None where the volume was resliced.
        axis: The file's axis along the body.
        orientation: Axis codes of the file, such as "RAS".
        flags: What a user should know, list of strings.
    """

    slices: np.ndarray
    heights_mm: np.ndarray
    spacing_mm: float
    indices: np.ndarray | None
    axis: int
    orientation: str
    flags: list


def axial_stack(volume, size, rule=IntensityRule(), name=None):  # noqa: B008 - frozen
    """Axial slices of one size.

    Sagittal and coronal series are read across their own slices; oblique ones are first resampled
    along the patient's axes. Slices that lie closer are thinned out to about 2.5 mm.

    Args:
        volume: `Volume`, 3D.
        size: Rows and columns.
        rule: `IntensityRule`.
        name: Of the file, for a note where few intensities are left.

    Returns:
        `AxialStack`.

    Raises:
        UserError: If the volume has not three axes, is not finite, is empty, or shows less than two slices.
    """
    array, affine, flags = volume.array, np.asarray(volume.affine, float), []
    check_three_axes(volume)
    orientation = "".join(aff2axcodes(affine))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.all((spacing > 0.05) & (spacing < 50)):
        flags.append(f"implausible voxel size {' x '.join(f'{size:.3g}' for size in spacing)} mm")
    axis = orientation.index("S") if "S" in orientation else orientation.index("I")
    series = _series(orientation, spacing)
    if series != "axial":
        flags.append(f"{series} series, read across its slices")
    tilt = float(np.degrees(np.arccos(np.clip(_alignment(affine, spacing).min(), -1, 1))))
    indices = np.arange(array.shape[axis])
    if tilt > OBLIQUE_DEGREES:
        flags.append(f"oblique by {tilt:.0f} degrees, resampled along the patient's axes")
        array, affine = _aligned(array, affine, spacing)
        indices = None
    else:
        transform = io_orientation(affine)
        flipped = transform[axis, 1] < 0
        shape = array.shape
        array = apply_orientation(array, transform)
        affine = affine @ inv_ornt_aff(transform, shape)
        indices = indices[::-1] if flipped else indices
    if array.shape[2] < 2:
        raise UserError(f"only {array.shape[2]} axial slice; a field of view needs two or more")
    spacing_mm = float(np.linalg.norm(affine[:3, 2]))
    step = int(np.clip(round(FINEST_MM / spacing_mm), 1, array.shape[2] // 2))
    chosen = np.arange(array.shape[2])[step // 2 :: step]
    middle = affine @ np.array([*((np.array(array.shape[:2]) - 1) / 2), 0, 1])
    heights = middle[2] + chosen * affine[2, 2]
    slices = resized(rule.unit_range(array[:, :, chosen], name), size)
    return AxialStack(
        slices, heights, step * spacing_mm, None if indices is None else indices[chosen], axis, orientation, flags
    )


def _series(orientation, spacing):
    """Plane of the acquired slices: across the axis of clearly larger voxels; axial where there is none."""
    widest = int(np.argmax(spacing))
    if spacing[widest] < 1.5 * np.sort(spacing)[1]:
        return "axial"
    code = orientation[widest]
    return AXIS_OF[{"L": "R", "P": "A", "I": "S"}.get(code, code)]


def _alignment(affine, spacing):
    """Cosine between each axis of the array and the patient's axis next to it."""
    cosines = np.abs(affine[:3, :3] / spacing)
    transform = io_orientation(affine)
    return np.array([cosines[int(transform[axis, 0]), axis] for axis in range(3)])


def _aligned(array, affine, spacing):
    """Resampled along right, front and up, within the box that holds the volume."""
    corners = np.array(np.meshgrid(*([0, n - 1] for n in array.shape), indexing="ij")).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    transform = io_orientation(affine)
    voxel = np.empty(3)
    voxel[transform[:, 0].astype(int)] = spacing
    low, high = world.min(axis=1), world.max(axis=1)
    target = np.diag([*voxel, 1.0])
    target[:3, 3] = low
    shape = np.ceil((high - low) / voxel).astype(int) + 1
    pull = np.linalg.inv(affine) @ target
    resampled = affine_transform(np.asarray(array, "float32"), pull[:3, :3], pull[:3, 3], tuple(shape), order=1)
    return resampled, target


def resized(array, size):
    """Slices of one size, as radiologists look at them: each pixel the mean over the area that it covers.

    Args:
        array: `(x, y, n)`, axes to the right and to the front.
        size: Rows and columns.

    Returns:
        `(n, size, size)`, float32.
    """
    columns, rows = (_averages(length, size) for length in array.shape[:2])
    # x runs to the patient's left on the screen, which is its right in radiological view; y from front to back.
    return np.einsum("rj,ci,ijn->nrc", rows, columns, array[::-1, ::-1], optimize=True).astype("float32")


def _averages(length, size):
    """Matrix `(size, length)`: each output pixel's mean over its area, linear where it enlarges."""
    if size >= length:
        position = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.minimum(position.astype(int), max(length - 2, 0))
        matrix = np.zeros((size, length))
        matrix[np.arange(size), low] = 1 - (position - low)
        matrix[np.arange(size), np.minimum(low + 1, length - 1)] += position - low
        return matrix
    edges = np.arange(size + 1) * length / size
    cells = np.arange(length)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.clip(overlap, 0, None) * size / length
