"""The simulated kidneys' shape, fitted to the real label maps: Dice of each fit, mean and spread of its parameters.

    python -m benchmarks.kidney_shapes

Only kidneys that no edge of the volume cuts; written to `results/kidney_shapes.json`. The means and spreads are
`FITTED` in `app/data/phantoms/kidney_anatomy.py`.
"""

import argparse
import itertools

import nibabel
import numpy as np
from scipy.ndimage import label
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from app.data.phantoms.kidney_anatomy import FITTED, KidneyShape
from benchmarks.brains import DATA
from benchmarks.results_file import ResultsFile

MAPS = ("totalsegmentator/example_seg_fast_force_split.nii.gz", "misc/torsoLabel.nii.gz")
KIDNEYS = (2, 3)
START = (0.56, 0.48, 0.2, 0.0, 2.2, 0.4, 0.4, 0.6)
LOW, HIGH = (0.35, 0.3, -0.2, -0.3, 1.8, 0.0, 0.2, 0.3), (0.8, 0.7, 0.6, 0.3, 3.2, 1.0, 0.8, 1.0)


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = ResultsFile("kidney_shapes", {"maps": MAPS})
    for name, value in itertools.product(MAPS, KIDNEYS):
        results.measure(f"{name} {value}", lambda name=name, value=value: _fit(DATA / "body_region" / name, value))
    rows = list(results.rows.values())
    table = {name: [row[name] for row in rows] for name in FITTED}
    results.write(**{
        name: [round(float(np.mean(values)), 3), round(float(np.std(values, ddof=1)), 3)]
        for name, values in table.items()
    })  # fmt: skip
    for name, row in results.content["summary"].items():
        print(name, row)
    print("Dice", [round(row["dice"], 3) for row in rows])


def _fit(path, value):
    image = nibabel.load(path)
    spacing = np.array(image.header.get_zooms()[:3], float)
    parts, _ = label(np.asarray(image.dataobj) == value)
    mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    inside = np.argwhere(mask)
    low, high = np.maximum(inside.min(axis=0) - 4, 0), inside.max(axis=0) + 5
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = (
        np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1) * spacing
    )
    truth = mask[box]
    points = inside * spacing
    centre = points.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((points - centre).T))
    axes = vectors[:, ::-1].T
    axes *= np.linalg.det(axes)
    half = 0.5 * np.ptp((points - centre) @ axes[0])
    turns = [np.diag(signs) for signs in ([1, 1, 1], [1, -1, -1])]  # the hilum is on one side or the other
    fits = [_from(axes.T @ turn, grid - centre, truth, half) for turn in turns]
    return min(fits, key=lambda fit: -fit["dice"])


def _from(axes, grid, truth, half):
    scale = np.r_[half, np.ones(len(START)), np.full(3, 5.0), np.full(3, 0.2)]

    def shape(vector):
        return KidneyShape(vector[0], *np.clip(vector[1 : 1 + len(START)], LOW, HIGH))

    def level(vector):
        turn = Rotation.from_euler("XYZ", vector[-3:] * [1, -1, 1]).as_matrix()
        return shape(vector).level((grid - vector[-6:-3]) @ axes @ turn)

    def cost(scaled):
        soft = 1 / (1 + np.exp(-np.clip(level(scaled * scale) / 0.06, -30, 30)))
        beyond = np.clip(scaled[1 : 1 + len(START)] - HIGH, 0, None) + np.clip(
            LOW - scaled[1 : 1 + len(START)], 0, None
        )
        return 1 - 2 * np.sum(soft * truth) / (soft.sum() + truth.sum()) + 10 * np.sum(beyond**2)

    first = np.r_[1.0, START, np.zeros(6)]
    best = minimize(cost, first, method="Powell", options={"maxiter": 12, "xtol": 1e-3, "ftol": 1e-4}).x * scale
    found = level(best) > 0
    fitted = {name: float(value) for name, value in vars(shape(best)).items()}
    return {**fitted, "dice": float(2 * np.sum(found & truth) / (found.sum() + truth.sum())),
            "length_mm": 2 * fitted["half_length"]}  # fmt: skip


if __name__ == "__main__":
    main()
