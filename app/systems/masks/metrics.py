"""How well masks agree: overlap, surfaces, volumes, parts; by population, and paired between networks."""

import numpy as np
from scipy.ndimage import label
from scipy.stats import wilcoxon

from app.reporting.overlap import dice_per_label, hd95_per_label, surface_dice

TOLERANCE_MM = 4.0
FIGURES = ("dice", "hd95_mm", "surface_dice", "volume_error_ml", "components")


def case_row(case, predicted, truth, affine, tolerance_mm=TOLERANCE_MM):
    """One volume's figures.

    Args:
        case: `Case`.
        predicted, truth: Masks on the image's grid.
        affine: `(4, 4)` of that grid.
        tolerance_mm: Of the surface Dice.

    Returns:
        Dict. `hd95_mm` is None where nothing was found.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    predicted, truth = predicted.astype("uint8"), truth.astype("uint8")
    distance = float(hd95_per_label(truth, predicted, 1, spacing)[0])
    return {
        "subject": case.subject,
        "population": case.population,
        "image": str(case.image),
        "dice": float(dice_per_label(truth, predicted, 1)[0]),
        "hd95_mm": distance if np.isfinite(distance) else None,
        "surface_dice": surface_dice(truth > 0, predicted > 0, spacing, tolerance_mm),
        "volume_ml": float(predicted.sum() * voxel_ml),
        "true_volume_ml": float(truth.sum() * voxel_ml),
        "volume_error_ml": float((int(predicted.sum()) - int(truth.sum())) * voxel_ml),
        "components": int(label(predicted)[1]),
    }


def summarise(rows):
    """Means by population.

    Args:
        rows: What `case_row` returned.

    Returns:
        Dict from population to dict: `volumes`, the means of `FIGURES` (of the volume error without its sign),
        `dice_sd`, and `empty`, how many masks were.
    """
    summary = {}
    for population in dict.fromkeys(row["population"] for row in rows):
        own = [row for row in rows if row["population"] == population]
        means = {}
        for name in FIGURES:
            values = [row[name] for row in own if row[name] is not None]
            means[name] = float(np.mean(np.abs(values))) if values else None
        summary[population] = {
            "volumes": len(own), **means, "dice_sd": float(np.std([row["dice"] for row in own])),
            "empty": sum(row["components"] == 0 for row in own),
        }  # fmt: skip
    return summary


def paired(before, after):
    """Wilcoxon's signed-rank test of the Dice of two networks on the same volumes, by population.

    Args:
        before, after: What `case_row` returned, in the same order.

    Returns:
        Dict from population to dict: `gain` in mean Dice, `better` and `worse` volumes, `p` (None without
        differences).
    """
    tests = {}
    for population in dict.fromkeys(row["population"] for row in before):
        pairs = [(a["dice"], b["dice"]) for a, b in zip(before, after, strict=True) if a["population"] == population]
        gains = np.array([b - a for a, b in pairs])
        tests[population] = {
            "gain": float(gains.mean()), "better": int(np.sum(gains > 0)), "worse": int(np.sum(gains < 0)),
            "p": float(wilcoxon(gains).pvalue) if np.any(gains) else None,
        }  # fmt: skip
    return tests


def summary_line(summary):
    """Mean Dice of each population in words.

    Args:
        summary: What `summarise` returned.

    Returns:
        String.
    """
    return "; ".join(f"{name} {means['dice']:.3f} ({means['volumes']} volumes)" for name, means in summary.items())
