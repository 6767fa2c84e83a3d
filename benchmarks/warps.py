"""Warps applied by `apply`, and by other programs: those of greedy and ANTs, and ours by FreeSurfer's surfa.

    python -m benchmarks.warps        5 minutes on 2 cores

Three pairs of the brains of IXI; the moving image's header is turned by 15 degrees and shifted, so that the affine part
has something to do. greedy and ANTs register, and move image and labels by their own transforms; `apply` moves the same
files by the same transforms. surfa gets a warp that we wrote as RAS millimetres (`.mgz`), of known waves. Resumable.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np

from app.data.read import read_labels, read_volume
from app.transforms.files import read_transform, write_transform
from app.transforms.moved import moved_image, moved_labels
from app.transforms.tally import Tally
from app.transforms.transform import Chain, Field, Linear
from benchmarks.brains import DATA
from benchmarks.engine import ROOT, interpreter, pairs_of
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

PAIRS = 3
KINDS = {"greedy": "matrix", "ants": None, "surfa": None}  # of the affine's file
NAMES = {"greedy": "greedy", "ants": "ANTs", "surfa": "ours, by FreeSurfer's surfa"}
WAVE_MM = 6.0
TURN_DEGREES, SHIFT_MM = 15.0, (9.0, -6.0, 4.0)


def turned(path, folder):
    """A copy of an image whose header says that it lies turned and shifted.

    Args:
        path: NIfTI.
        folder: Where it is written.

    Returns:
        Path of the copy.
    """
    image, angle = nibabel.load(path), np.deg2rad(TURN_DEGREES)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = SHIFT_MM
    copy = Path(folder) / f"{Path(path).parent.name}_{Path(path).name}"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine), copy)
    return copy


def write_waves(path, moving, fixed):
    """Write a warp that turns back as `turned` turned, and has waves of 6 mm.

    Args:
        path: `.mgz`.
        moving: Path of the turned image.
        fixed: `Volume` on whose grid it is written.
    """
    straight = np.asarray(nibabel.load(moving).affine) @ np.linalg.inv(fixed.affine)
    places = np.stack(np.meshgrid(*map(np.arange, fixed.array.shape), indexing="ij"), axis=-1)
    waves = WAVE_MM * np.sin(places / 9.0 + [0.0, 1.0, 2.0]).astype("float32")
    write_transform(path, Chain((Linear(straight), Field(waves, fixed.affine))), None, fixed)


def compare(side, moving, fixed):
    """One pair by one program and by ours.

    Args:
        side: "greedy", "ants" or "surfa".
        moving: `Subject`.
        fixed: `Subject`.

    Returns:
        Dict: mean difference of the moved images in percent of the range, share of voxels that differ by more than 1 %
        of it, share of voxels with another label.
    """
    with tempfile.TemporaryDirectory() as folder:
        image, labels = (turned(path, folder) for path in (moving.image, moving.labels))
        if side == "surfa":
            write_waves(f"{folder}/warp.mgz", image, read_volume(fixed.image))
        command = [interpreter(side), "-m", "benchmarks.warps_child", side, image, labels, fixed.image, folder]
        subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=ROOT)
        parts = (read_transform(f"{folder}/warp.mgz"),)
        if side != "surfa":
            parts = read_transform(f"{folder}/affine.mat", KINDS[side]), read_transform(f"{folder}/warp.nii.gz")
        chain, reference = Chain(tuple(step for part in parts for step in part.steps)), read_volume(fixed.image)
        ours = moved_image(read_volume(image), chain, reference, Tally()).astype(float)
        theirs = nibabel.load(f"{folder}/moved.nii.gz").get_fdata()
        own_labels = moved_labels(read_labels(labels), chain, reference, Tally())
        other_labels = np.rint(nibabel.load(f"{folder}/moved_labels.nii.gz").get_fdata())
    apart, reach = np.abs(ours - theirs), np.ptp(theirs)
    return {
        "mean_difference_percent": float(100 * apart.mean() / reach),
        "differing_percent": float(100 * np.mean(apart > 0.01 * reach)),
        "other_labels_percent": float(100 * np.mean(own_labels != other_labels)),
    }


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    lines = [
        "| transforms of | pairs | mean difference (% of the range) | voxels that differ by over 1 % of it (%) | "
        "voxels with another label (%) |",
        "|---|" + "---:|" * 4,
    ]
    for side in KINDS:
        rows = [row for name, row in content["rows"].items() if name.startswith(side)]
        if rows:
            means = [np.mean([row[key] for row in rows]) for key in
                     ("mean_difference_percent", "differing_percent", "other_labels_percent")]  # fmt: skip
            lines.append(f"| {NAMES[side]} | {len(rows)} | " + " | ".join(f"{value:.4f}" for value in means) + " |")
    return {"programs": "\n".join(lines)}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    from app.systems.registration.cohort import read_cohort
    from app.systems.registration.config import CohortConfig

    pairs = pairs_of(read_cohort(CohortConfig(cohort=DATA / "brains_ixi_2mm" / "participants.csv")))[:PAIRS]
    names = [[moving.name, fixed.name] for moving, fixed in pairs]
    results = ResultsFile("warps", {"pairs": names, "turn_degrees": TURN_DEGREES, "shift_mm": SHIFT_MM})
    for side in KINDS:
        for moving, fixed in pairs:
            results.measure(
                f"{side}, {moving.name} to {fixed.name}", lambda a=side, b=moving, c=fixed: compare(a, b, c)
            )
    write_tables("warps", tables(results.content))


if __name__ == "__main__":
    main()
