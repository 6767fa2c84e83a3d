"""Measuring a registration model on pairs of a cohort, over hyper-parameter values."""

import keras
import numpy as np

from app.progress import progress
from app.reporting.overlap import dice_per_label, hd95_per_label
from nets.ops import jacobian_determinant, sample
from nets.ops.folding import folding_percent

SLAB = 2**21  # voxels looked at together


def jacobian(displacement):
    """Jacobian determinant of a transform, by central differences.

    Args:
        displacement: Array `(*shape, rank)`, in voxels.

    Returns:
        Array `(*shape)`, float32.
    """
    length = len(displacement)
    size, parts = max(2, SLAB // int(np.prod(displacement.shape[1:-1]))), []
    for first in range(0, length, size):  # a slab with its neighbours: the whole would take twenty times its memory
        last, start = min(first + size, length), max(0, first - 2)
        slab = keras.ops.convert_to_numpy(jacobian_determinant(displacement[None, start : last + 1]))[0]
        parts.append(slab[first - start : last - start])
    return np.concatenate(parts)


def warp_labels(labels, displacement):
    """Nearest-neighbour warp of a label map.

    Args:
        labels: Integer array `(*shape, 1)`.
        displacement: Array `(*shape, rank)`, in voxels.

    Returns:
        Array of the type of `labels`, `(*shape, 1)`.
    """
    moved = sample(labels[None].astype("float32"), displacement[None], "nearest")
    return keras.ops.convert_to_numpy(moved)[0].astype(labels.dtype)


def regularity(displacement, determinant):
    """Folding and smoothness of a displacement, over the whole grid.

    Args:
        displacement: Array `(*shape, rank)`, in voxels.
        determinant: Its `jacobian`.

    Returns:
        Dict: `folding_percent` (between voxels too, see `nets.ops.folding`) and `sdlogj` (standard
        deviation of the log determinant by central differences, clipped at 1e-9, as in Learn2Reg).
    """
    logarithm = np.log(np.clip(determinant, 1e-9, 1e9))
    return {
        "folding_percent": float(folding_percent(displacement)),
        "sdlogj": float(logarithm.std()),
    }


def evaluate_pairs(registrar, pairs, cache, hyper_values, spacing_mm=None, surfaces=False, quiet=False):
    """Register pairs at several hyper-parameter values and measure the outcome.

    Args:
        registrar: `Registrar`.
        pairs: List of `(moving, fixed)` subjects.
        cache: `SubjectCache`.
        hyper_values: List of hyper-parameter tuples.
        spacing_mm: Voxel size, needed for surfaces.
        surfaces: Whether HD95 is measured.
        quiet: No progress bar (within training, which has its own).

    Returns:
        List of dicts, one a pair and value: `moving`, `fixed`, `hyper`, `seconds`,
        `folding_percent`, `sdlogj` and, with labels, `dice` (array a structure),
        `dice_before`, and with surfaces `hd95_mm`.
    """
    count = len(cache.structures)
    work = [(moving, fixed, tuple(hyper)) for moving, fixed in pairs for hyper in hyper_values]
    rows = []
    if work:  # the first call compiles, and is not to be timed
        registrar(cache.image(work[0][0]), cache.image(work[0][1]), work[0][2])
    for moving, fixed, hyper in work if quiet else progress(work, "evaluating"):
        result = registrar(cache.image(moving), cache.image(fixed), hyper)
        field = result.displacement
        row = {
            "moving": moving.name,
            "fixed": fixed.name,
            "hyper": hyper,
            "seconds": result.seconds,
            **regularity(field, jacobian(field)),
        }
        if count:
            before, target = cache.labels(moving), cache.labels(fixed)
            after = warp_labels(before, field)
            absent = ~np.isin(np.arange(1, count + 1), before)
            for name, labels in (("dice", after), ("dice_before", before)):
                row[name] = np.where(absent, np.nan, dice_per_label(target, labels, count))
            if surfaces:
                row["hd95_mm"] = hd95_per_label(target[..., 0], after[..., 0], count, spacing_mm)
        rows.append(row)
    return rows


def mean_known(values):
    """Mean of the values that are not NaN; NaN where there is none (a pair without a common structure)."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def summarise(rows):
    """Means over pairs at each hyper-parameter value.

    Args:
        rows: What `evaluate_pairs` returns.

    Returns:
        List of dicts, one a value, in order of appearance: `hyper`, the means of every
        measure (structures first averaged within a pair), and `dice_sd` over pairs.
    """
    summary = []
    for hyper in dict.fromkeys(row["hyper"] for row in rows):
        these = [row for row in rows if row["hyper"] == hyper]
        entry = {"hyper": hyper, "pairs": len(these)}
        for name in ("dice", "dice_before", "hd95_mm"):
            if name in these[0]:
                per_pair = np.array([mean_known(row[name]) for row in these])
                entry[name] = mean_known(per_pair)
                if name == "dice" and np.any(np.isfinite(per_pair)):
                    entry["dice_sd"] = float(np.nanstd(per_pair))
        for name in ("folding_percent", "sdlogj", "seconds"):
            entry[name] = float(np.mean([row[name] for row in these]))
        summary.append(entry)
    return summary
