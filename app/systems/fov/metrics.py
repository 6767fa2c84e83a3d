"""How well regions are predicted: slices, volumes, boundaries."""

import numpy as np

from app.systems.fov.regions import CHAIN, CLASSES
from nets.classification.volume_decision import shared_boundaries

SHOWN_MM = 20.0


def confusion(truth, predicted):
    """Slices of each true class (rows) by what was found.

    Args:
        truth, predicted: `(n,)` integers.

    Returns:
        `(classes, classes)` counts.
    """
    table = np.zeros((len(CLASSES), len(CLASSES)), int)
    np.add.at(table, (truth, predicted), 1)
    return table


def non_neighbours(truth, predicted):
    """Slices taken for a region that does not touch the true one.

    "none" touches the legs and the head; an examination of the spine touches nothing.

    Args:
        truth, predicted: `(n,)` integers.

    Returns:
        Count.
    """
    ring = len(CHAIN) + 1  # none, legs, ..., head, and none again
    spine = len(CLASSES) - 1
    apart = np.abs(truth - predicted)
    apart = np.where((truth == 0) | (predicted == 0), np.minimum(apart, ring - apart), apart)
    wrong = (truth == spine) != (predicted == spine)
    return int(np.sum(wrong | (apart > 1)))


def volume_row(stack, raw, decided, slices):
    """One volume's figures.

    Args:
        stack: `LabelledStack`.
        raw: `(n,)` class of each slice by its own probabilities.
        decided: `Decided`.
        slices: `(n,)` class of each slice by the decision.

    Returns:
        Dict. `regions_right`: whether the set of regions is the true one, regions of which less than 20 mm are
        shown left out of account; `regions_right_strict`: with those. `boundary_errors_mm`: of the boundaries
        between two regions that both truth and decision have.
    """
    truth, known = stack.classes, stack.classes >= 0
    spacing = stack.stack.spacing_mm
    enough = max(1.0, SHOWN_MM / spacing)
    counts, predicted = (np.bincount(classes[known], minlength=len(CLASSES))[1:] for classes in (truth, slices))
    clear = (counts == 0) | (counts >= enough)
    borderline = ~clear | ((counts == 0) & (predicted > 0) & (predicted < enough))
    shared = shared_boundaries(truth, decided, CLASSES)
    return {
        "subject": stack.examination.subject,
        "image": str(stack.examination.image),
        "slices": int(known.sum()),
        "spacing_mm": round(spacing, 2),
        "raw_wrong": int(np.sum(raw[known] != truth[known])),
        "decided_wrong": int(np.sum(slices[known] != truth[known])),
        "non_neighbours": non_neighbours(truth[known], slices[known]),
        "regions_right": bool(np.all(((counts > 0) == (predicted > 0)) | borderline)),
        "regions_right_strict": bool(np.all((counts > 0) == (predicted > 0))),
        "boundary_errors_mm": [abs(region.start - place) * spacing for place, region in shared],
        "intervals_held": [region.start_interval[0] <= place <= region.start_interval[1] for place, region in shared],
    }


def summarise_volumes(rows, rng=None):
    """Figures of a cohort.

    Args:
        rows: What `volume_row` returned.
        rng: `numpy.random.Generator` for the bootstrap over volumes.

    Returns:
        Dict: slice errors with 95 % intervals by bootstrap over volumes, non-neighbour confusions, boundaries,
        share of volumes with the right set of regions.
    """
    rng = rng or np.random.default_rng(0)
    slices = np.array([row["slices"] for row in rows])
    errors = np.concatenate([row["boundary_errors_mm"] for row in rows] or [[]])
    held = [number for row in rows for number in row["intervals_held"]]
    summary = {"volumes": len(rows), "slices": int(slices.sum())}
    for name in ("raw", "decided"):
        wrong = np.array([row[f"{name}_wrong"] for row in rows])
        draws = rng.integers(len(rows), size=(1000, len(rows)))
        spread = wrong[draws].sum(axis=1) / slices[draws].sum(axis=1)
        summary[f"{name}_error"] = float(wrong.sum() / slices.sum())
        summary[f"{name}_error_95"] = [float(bound) for bound in np.percentile(spread, [2.5, 97.5])]
    summary["non_neighbours"] = int(sum(row["non_neighbours"] for row in rows))
    summary["regions_right"] = float(np.mean([row["regions_right"] for row in rows]))
    summary["regions_right_strict"] = float(np.mean([row["regions_right_strict"] for row in rows]))
    summary["boundaries"] = len(errors)
    if len(errors):
        summary["boundary_mm_median"] = float(np.median(errors))
        summary["boundary_mm_mean"] = float(np.mean(errors))
        summary["boundary_mm_95th"] = float(np.percentile(errors, 95))
        summary["boundary_within_10_mm"] = float(np.mean(errors <= 10))
        summary["interval_90_holds"] = float(np.mean(held))
    return summary
