"""How the moving image lies over the fixed one before anything is deformed."""

import dataclasses
import math

import numpy as np

from app.errors import UserError
from app.notes import note
from app.systems.registration.grids import in_parallel_planes, overlap, voxel_matrix
from app.transforms.files import read_linear

LEAST_OVERLAP = 0.1  # of what is not background in the fixed image
SAID_OVERLAP = 0.9
SEEN = 0.5  # of the moving image, on its own grid
STRANGE = 0.97  # of the fixed image's variance left unexplained
STRANGE_SIZE = 1.5
TURNED = 20.0  # degrees from the headers, from which on it is said
KINDS = {"auto": "affine", "affine": "affine", "rigid": "rigid", "similarity": "similarity", "scaling": "scaling"}


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the moving image lies.

    Args:
        to_moving: `(rank + 1, rank + 1)`, from voxels of the fixed image to voxels of the moving one.
        aligned: Whether it is another than that by the headers: computed, or read from a file.
        kind: Of the alignment that is to be computed from here; None for none.
        measures: Dict of what was measured.
        lines: What the log should say of it.
    """

    to_moving: np.ndarray
    aligned: bool = False
    kind: str | None = None
    measures: dict = dataclasses.field(default_factory=dict)
    lines: tuple = ()

    def world(self, moving, fixed):
        """`(4, 4)`, RAS millimetres of the fixed image to those of the moving one; 3D only."""
        return np.asarray(moving.affine, float) @ self.to_moving @ np.linalg.inv(np.asarray(fixed.affine, float))


def check_placement(config, moving, fixed, as_trained=False):
    """What can be refused before anything is computed.

    Args:
        config: `RegisterConfig`.
        moving: `Volume`.
        fixed: `Volume`.
        as_trained: Whether both lie on one grid as in a model's training, which knew no alignment.

    Returns:
        `Placement` by the headers, and that to begin with: the same, or by the file that the config names.

    Raises:
        UserError: If the images do not overlap though nothing is to be aligned, or the file is wrong.
    """
    same = moving.same_grid(fixed, (config.moving, config.fixed))
    by_header = Placement(voxel_matrix(moving, fixed))
    kind = KINDS.get(config.affine)
    if as_trained and config.affine == "auto":
        note(
            "affine: none, since both images lie on a grid as in the model's training; affine=affine aligns them first"
        )
        kind = None
    placement = dataclasses.replace(by_header, kind=kind)
    if not in_parallel_planes(moving, fixed):
        note(
            f"{config.moving}: lies in another plane than {config.fixed} by the headers; placed by voxel size, "
            "centre on centre"
        )
    seen = overlap(fixed, moving, voxel_matrix(fixed, moving)) if config.grid == "moving" else 1.0
    if seen < SEEN:
        note(
            f"{config.moving}: {100 * (1 - seen):.0f} % of it lies beyond {config.fixed} by the headers, and its own "
            "grid with it: little of the result will be seen there; grid=fixed shows it"
        )
    by_file = config.affine not in (*KINDS, "none")
    if by_file:
        if fixed.array.ndim == 2:
            raise UserError(f"{config.affine}: an affine file is read for 3D images only; set affine: auto or none")
        world = read_linear(config.affine)
        to_moving = np.linalg.solve(np.asarray(moving.affine, float), world @ np.asarray(fixed.affine, float))
        placement = Placement(to_moving, aligned=True, lines=(f"aligned by {config.affine}",))
    if kind or (same and not by_file):
        return by_header, placement
    _check_overlap(config, moving, fixed, placement, "by the affine file" if by_file else "by the headers")
    return by_header, placement


def place(config, volumes, images, begun):
    """Align two images, as the config asks.

    Args:
        config: `RegisterConfig`.
        volumes: Dict of `moving` and `fixed`, `Volume`s.
        images: Dict of `moving` and `fixed`: their arrays in [0, 1].
        begun: The second of `check_placement`.

    Returns:
        `Placement`.

    Raises:
        UserError: If the aligned images hardly overlap, or have nothing in common and do not overlap by the headers.
    """
    if begun.kind is None:
        return begun
    from nets.registration.engine.affine import align
    from nets.registration.engine.correlation_ratio import WORST

    moving, fixed = volumes["moving"], volumes["fixed"]
    rank = fixed.array.ndim
    fixed_to_world = np.diag([*fixed.spacing_mm, 1.0]) if rank == 2 else np.asarray(fixed.affine, float)
    moving_to_world = fixed_to_world @ np.linalg.inv(begun.to_moving)
    result = align(images["moving"], images["fixed"], moving_to_world, fixed_to_world, begun.kind)
    before = None if result.before == WORST else result.before
    measures = {"variance_left_by_headers": before, "variance_left_after_affine": result.after}
    measures |= _said(result.matrix)
    to_moving = np.linalg.solve(moving_to_world, result.matrix @ fixed_to_world)
    placement = Placement(to_moving, True, None, measures, (_line(begun.kind, result, measures),))
    _check_overlap(config, moving, fixed, placement, "after the affine alignment")
    _check_success(config, result, measures)
    return placement


def _said(matrix):
    """How far a matrix turns, and how it changes volumes."""
    linear = matrix[:-1, :-1]
    left, sizes, right = np.linalg.svd(linear)
    turn = left @ right
    cosine = (np.trace(turn) - 1) / 2 if len(turn) == 3 else turn[0, 0]
    return {
        "turn_degrees": math.degrees(math.acos(np.clip(cosine, -1, 1))),
        "volume_factor": float(np.prod(sizes)),
    }


def _line(kind, result, measures):
    before = measures["variance_left_by_headers"]
    by_header = "no overlap by the headers" if before is None else f"{before:.3f} by the headers"
    return (
        f"{kind} alignment: turned by {measures['turn_degrees']:.1f} degrees, the moving image "
        f"{measures['volume_factor']:.2f} times as large; unexplained variance: {by_header}, {result.after:.3f} now"
    )


def _check_success(config, result, measures):
    if result.after > STRANGE and measures["variance_left_by_headers"] is None:
        raise UserError(
            f"{config.moving}: does not overlap {config.fixed} by the headers, and no alignment makes one tell of the "
            "other; correct a header, or give two images of the same part of the body"
        )
    if result.after > STRANGE:
        note(f"{config.moving}: has hardly anything in common with {config.fixed}; look at the figure")
    factor = measures["volume_factor"]
    if not 1 / STRANGE_SIZE < factor < STRANGE_SIZE:
        note(f"{config.moving}: {factor:.2f} times as large as {config.fixed}, which is rare; look at the figure")
    if result.start == "search" and measures["turn_degrees"] > TURNED:
        note(
            f"{config.moving}: the headers' orientation fits worse than that of a search over all rotations, which was "
            "taken; affine: none leaves the images as the headers place them"
        )


def _check_overlap(config, moving, fixed, placement, by):
    share = overlap(moving, fixed, placement.to_moving)
    if share < LEAST_OVERLAP * min(1.0, _volume(moving) / _volume(fixed)):
        remedy = "set affine: auto, or correct a header" if not placement.aligned else "crop the larger of the two"
        raise UserError(
            f"{config.moving}: only {100 * share:.0f} % of {config.fixed} lies within its grid {by}; {remedy}"
        )
    if share < SAID_OVERLAP:
        note(f"{config.fixed}: {100 * (1 - share):.0f} % of it lies beyond the grid of {config.moving}; not compared")


def _volume(volume):
    return float(np.prod(np.array(volume.array.shape) * volume.spacing_mm))
