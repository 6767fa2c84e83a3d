"""What a warp of any program is worth on one pair: overlap, surfaces, points, folding, the way back."""

import dataclasses

import numpy as np

from app.data.read import read_labels, read_volume
from app.errors import UserError
from app.reporting.learn2reg import literal_measures
from app.reporting.overlap import dice_per_label, hd95_per_label
from app.reporting.surfels import surface_dice, surface_distances
from app.systems.registration.measure import jacobian, regularity
from app.transforms.files import field_on, fitting_kind, plane_points, read_transform
from app.transforms.moved import moved_labels
from app.transforms.points import read_points
from app.transforms.tally import Tally
from app.transforms.transform import Chain
from nets.ops.folding import non_diffeomorphic_percent


@dataclasses.dataclass(frozen=True)
class Measures:
    """One pair, measured.

    Args:
        row: Dict of numbers: see `measure_pair`.
        structures: Dict from label to dict of `dice_before`, `dice`, `hd95_mm`, `surface_dice`.
    """

    row: dict
    structures: dict


def read_chain(files, kind=None):
    """Transforms as one.

    Args:
        files: Paths, the first moves an image first.
        kind: Of those that do not say what they are.

    Returns:
        `Chain`.

    Raises:
        UserError: As `read_transform`.
    """
    return Chain(
        tuple(step for file in files for step in read_transform(file, fitting_kind(file, kind)).steps)
    ).joined()


def displacement_of(chain, fixed):
    """A chain as a displacement of networks and measures: in voxels of the fixed image.

    Args:
        chain: `Chain`.
        fixed: `Volume`.

    Returns:
        Float32 array `(*shape, rank)`, and `Tally` of what lay beyond a field.
    """
    tally, rank = Tally(), fixed.array.ndim
    field = field_on(chain, fixed, tally)
    to_voxels = np.linalg.inv(field.affine[:3, :3]).T.astype("float32")
    vectors = field.vectors @ to_voxels
    return (vectors[:, :, 0, :2] if rank == 2 else vectors), tally


def measure_pair(pair, kind=None, tolerance_mm=1.0, learn2reg=False):
    """Measure the transforms of one pair.

    Args:
        pair: `app.data.manifest.PairFiles` with transforms.
        kind: As of `read_chain`.
        tolerance_mm: Of the surface Dice.
        learn2reg: Whether the challenge's own measures are added: `l2r_dice`, `l2r_hd95`, `l2r_sdlogj`.

    Returns:
        `Measures`. Its row: `dice_before`, `dice`, `hd95_mm`, `surface_dice` (means over the labels of both maps),
        `labels`, `labels_in_one_map_only`, `tre_mm_before`, `tre_mm`, `folding_percent`, `non_diffeomorphic_percent`,
        `sdlogj`, `inverse_consistency_mm`, `seconds`, `beyond_percent`: how much of the grid lies beyond a field. What
        cannot be measured is left out.

    Raises:
        UserError: If a file of it is wrong.
    """
    fixed = read_volume(pair.fixed)
    for path, volume in ((pair.moving, read_volume(pair.moving)), (pair.fixed, fixed)):
        if volume.array.ndim != fixed.array.ndim or volume.array.ndim not in (2, 3):
            raise UserError(f"{path}: {volume.array.ndim} axes; expected two images of 2 or of 3")
    chain = read_chain(pair.transforms, kind)
    displacement, tally = displacement_of(chain, fixed)
    row = {**regularity(displacement, jacobian(displacement)),
           "non_diffeomorphic_percent": non_diffeomorphic_percent(displacement),
           "beyond_percent": 100.0 * tally.beyond / max(tally.points, 1)}  # fmt: skip
    structures = {}
    if pair.moving_labels and pair.fixed_labels:
        structures, alone = _structures(pair, chain, tolerance_mm)
        row |= {"labels": len(structures), "labels_in_one_map_only": alone}
        for name in ("dice_before", "dice", "hd95_mm", "surface_dice"):
            row[name] = _mean([values[name] for values in structures.values()])
    if learn2reg:
        row |= _literal(pair, displacement, fixed)
    if pair.moving_points and pair.fixed_points:
        row |= _target_error(pair, chain)
    if pair.inverse:
        row["inverse_consistency_mm"] = _inconsistency(chain, read_chain(pair.inverse, kind), fixed)
    if pair.seconds is not None:
        row["seconds"] = pair.seconds
    return Measures({name: value for name, value in row.items() if value is not None}, structures)


def _structures(pair, chain, tolerance_mm):
    """Measures of each label that both maps have, and how many one alone has."""
    labels, target = read_labels(pair.moving_labels), read_labels(pair.fixed_labels)
    maps = {"dice_before": moved_labels(labels, Chain(()), target, Tally()),
            "dice": moved_labels(labels, chain, target, Tally())}  # fmt: skip
    own, other = np.unique(labels.array), np.unique(target.array)
    common = [int(value) for value in np.intersect1d(own, other) if value]
    alone = sum(1 for value in np.setxor1d(own, other) if value)
    if not common:
        raise UserError(
            f"{pair.moving_labels}: has no label in common with {pair.fixed_labels}; give maps of one scheme"
        )
    fixed = _numbered(target.array, common)
    structures = {label: {} for label in common}
    for name, moved in maps.items():
        moved = _numbered(moved, common)
        for label, value in zip(common, dice_per_label(fixed, moved, len(common)), strict=True):
            structures[label][name] = float(value)
    far_apart = hd95_per_label(fixed, moved, len(common), target.spacing_mm)
    for place, (label, far) in enumerate(zip(common, far_apart, strict=True), 1):
        distances = surface_distances(fixed == place, moved == place, target.spacing_mm)
        structures[label] |= {"hd95_mm": float(far) if np.isfinite(far) else None,
                              "surface_dice": surface_dice(distances, tolerance_mm)}  # fmt: skip
    return structures, alone


def _numbered(labels, common):
    """Labels as 1, 2, ... in the order of `common`, 0 for any other."""
    places = np.minimum(np.searchsorted(common, labels), len(common) - 1)
    return np.where(np.asarray(common)[places] == labels, places + 1, 0)


def _literal(pair, displacement, fixed):
    if not (pair.moving_labels and pair.fixed_labels) or fixed.array.ndim != 3:
        raise UserError(f"{pair.fixed}: learn2reg needs volumes with label maps; give them, or leave learn2reg out")
    moving, target = read_labels(pair.moving_labels), read_labels(pair.fixed_labels)
    if not moving.array.shape == target.array.shape == displacement.shape[:3]:
        raise UserError(f"{pair.moving_labels}: Learn2Reg's images lie on one grid, these do not; leave learn2reg out")
    return literal_measures(displacement, moving.array, target.array)


def _target_error(pair, chain):
    """Distance of the fixed image's points, led to the moving image, from those set there, in mm."""
    moving, fixed = (read_points(path).points for path in (pair.moving_points, pair.fixed_points))
    if len(moving) != len(fixed):
        raise UserError(
            f"{pair.moving_points}: {len(moving)} points, {pair.fixed_points} "
            f"has {len(fixed)}; give the same places in "
            "the same order"
        )
    before, after = (np.linalg.norm(places - moving, axis=1) for places in (fixed, chain(fixed)))
    return {"tre_mm_before": float(before.mean()), "tre_mm": float(after.mean())}


def _inconsistency(chain, back, fixed):
    """Mean distance, in mm, from where there and back leads, over the fixed image's voxels that stay within both."""
    affine, shape = np.asarray(fixed.affine, float), (*fixed.array.shape, 1)[:3]
    total, count = 0.0, 0
    for plane in range(shape[0]):
        points = plane_points(shape, affine, plane)
        apart = np.linalg.norm(back(chain(points)) - points, axis=1)
        total, count = total + apart.sum(), count + len(points)
    return float(total / count)


def _mean(values):
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else None
