"""The engine where images differ: two contrasts, exchanged images, 48 orientations of one head.

    python -m benchmarks.engine_tasks        30 minutes on 2 cores

- Contrasts: the 20 pairs of `benchmarks.engine`; the fixed image inverted and remapped (`1.1 - x^0.7`), with noise and
  a smooth bias, its background kept at 0.
- Exchanged: ten of the pairs there and back, with `symmetric` and without; how far the way there and back ends from
  where it began, on average over the brain.
- 256^3: a head at 1 mm registered to its deformed copy, by the command, with and without margins to cut off.
- Orientations: one head in 48 axis orders, each registered to the first by the command, default preset, affine and all.

Each row is resumable.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import map_coordinates, zoom

from benchmarks.brains import DATA, mean_dice, warp_labels
from benchmarks.engine import ROOT, pairs_of
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile


def brain_pairs():
    """The pairs of `benchmarks.engine`."""
    from app.systems.registration.cohort import read_cohort
    from app.systems.registration.config import CohortConfig

    return pairs_of(read_cohort(CohortConfig(cohort=DATA / "brains_ixi_2mm" / "participants.csv")))


def other_contrast(image, seed):
    """Dark where it was bright, with noise and bias; background stays 0."""
    rng = np.random.default_rng(seed)
    bias = np.exp(0.2 * zoom(rng.normal(size=(4, 4, 4)), np.array(image.shape) / 4, order=3))
    changed = (1.1 - image**0.7) * bias + 0.02 * rng.normal(size=image.shape)
    return np.where(image > 0, np.clip(changed, 0.02, 1), 0).astype("float32")


def contrast(similarity, remapped):
    """Dice of the 20 pairs.

    Args:
        similarity: Of `pair_registrar`; "auto" as `register` chooses.
        remapped: Whether the fixed image has the other contrast.
    """
    from app.data.read import read_labels, read_volume
    from app.systems.registration.engine import chosen_similarity, pair_registrar
    from nets.registration.engine.method import PRESETS

    rows = {"dice": [], "chosen": []}
    for number, (one, other) in enumerate(brain_pairs()):
        moving, fixed = (read_volume(subject.image).array.astype("float32") / 255 for subject in (one, other))
        fixed = other_contrast(fixed, number) if remapped else fixed
        chosen = similarity
        if similarity == "auto":
            chosen = chosen_similarity(moving, fixed)[0]
        registrar = pair_registrar(chosen, PRESETS["default"], None)
        field = registrar(moving[..., None], fixed[..., None], ()).displacement
        labels = [read_labels(subject.labels).array.astype(int) for subject in (one, other)]
        rows["dice"].append(round(mean_dice(labels[1], warp_labels(labels[0], field)), 4))
        rows["chosen"].append(chosen)
    return rows


def exchanged(symmetric):
    """Mean distance, in voxels over the brain, of there and back from the beginning."""
    from app.data.read import read_volume
    from nets.ops import sample
    from nets.registration.engine.deformable import register_pairs
    from nets.registration.engine.method import Method

    distances = []
    for one, other in brain_pairs()[:10]:
        images = [read_volume(each.image).array[None, ..., None].astype("float32") / 255 for each in (one, other)]
        there, back = (
            np.asarray(register_pairs(*pair, Method(symmetric=symmetric))) for pair in (images, images[::-1])
        )
        ends = there + np.asarray(sample(back, there))
        distances.append(round(float(np.linalg.norm(ends, axis=-1)[images[1][..., 0] > 0].mean()), 4))
    return {"voxels": distances}


def orientations():
    """How far each of the 48 results is from the head itself, in percent of its range, and the largest displacement."""
    from app.config import load_config
    from app.tasks.register import run
    from app.tasks.register_config import RegisterConfig

    files = sorted((DATA / "io_orientation").glob("*.nii.gz"))
    first, rows = nibabel.load(files[0]).get_fdata(), {"difference_percent": [], "largest_displacement_mm": []}
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            assignments = [f"moving={path}", f"fixed={files[0]}", f"output={folder}/out"]
            run(load_config(RegisterConfig, None, assignments))
            moved = nibabel.load(f"{folder}/out/moved.nii.gz").get_fdata()
            measures = json.loads(Path(f"{folder}/out/metrics.json").read_text(encoding="utf-8"))
        rows["difference_percent"].append(round(float(100 * np.abs(moved - first).mean() / np.ptp(first)), 4))
        rows["largest_displacement_mm"].append(round(measures["largest_displacement_mm"], 4))
    return rows


def full_size(whole):
    """A head of 256^3 voxels at 1 mm registered to its deformed copy by the command, in a process of its own.

    Args:
        whole: Whether noise fills the field of view, so that no margin can be cut off.

    Returns:
        Dict of CPU seconds, seconds by the clock, peak memory in GiB, and the local correlation before and after.
    """
    head = nibabel.load(DATA / "brain_1mm" / "norm.mgz")
    array, rng = np.asarray(head.dataobj).astype("float32"), np.random.default_rng(0)
    field = [zoom(rng.normal(0, 4, (6, 6, 6)), np.array(array.shape) / 6, order=3) for _ in range(3)]
    places = [axis + part for axis, part in zip(np.indices(array.shape), field, strict=True)]
    moved = map_coordinates(array, places, order=1)
    with tempfile.TemporaryDirectory() as folder:
        for name, image in (("moving", array), ("fixed", moved)):
            noise = rng.uniform(1, 6, image.shape).astype("float32") if whole else 0
            image = np.clip(image + noise, 0, 255).astype("uint8")
            nibabel.save(nibabel.Nifti1Image(image, head.affine), f"{folder}/{name}.nii.gz")
        words = [f"moving={folder}/moving.nii.gz", f"fixed={folder}/fixed.nii.gz", f"output={folder}/out"]
        command = [sys.executable, "main.py", "register", *(part for word in words for part in ("--set", word))]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        measures = json.loads(Path(f"{folder}/out/metrics.json").read_text(encoding="utf-8"))
    return {
        "cpu_seconds": usage.ru_utime + usage.ru_stime, "wall_seconds": time.perf_counter() - began,
        "peak_gib": usage.ru_maxrss / 2**20, "ncc_before": measures["ncc_before"], "ncc_after": measures["ncc_after"],
    }  # fmt: skip


ROWS = {
    "contrast: one, ncc": lambda: contrast("ncc", False),
    "contrast: two, as register chooses": lambda: contrast("auto", True),
    "contrast: two, mapped": lambda: contrast("mapped", True),
    "contrast: two, mind": lambda: contrast("mind", True),
    "contrast: two, ncc": lambda: contrast("ncc", True),
    "contrast: two, nmi": lambda: contrast("nmi", True),
    "exchanged: symmetric": lambda: exchanged(True),
    "exchanged: as it is": lambda: exchanged(False),
    "orientations": orientations,
    "256^3: the whole field of view": lambda: full_size(True),
    "256^3: the brain in its margins": lambda: full_size(False),
}


def tables(content):
    """The pages' tables in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    contrasts = ["| contrasts, similarity | Dice, mean of 20 pairs |", "|---|---:|"]
    other = []
    for name, row in rows.items():
        kind, label = name.split(": ") if ": " in name else (name, "")
        if kind == "contrast":
            contrasts.append(f"| {label} | {np.mean(row['dice']):.3f} |")
        elif kind == "256^3":
            other.append(
                f"- 256 x 256 x 256 voxels of 1 mm, {label}: {row['cpu_seconds']:.0f} CPU seconds and "
                f"{row['peak_gib']:.2f} GiB for the whole command, {row['wall_seconds']:.0f} s by the clock."
            )
        elif kind == "exchanged":
            other.append(f"- Exchanged images, {label}: there and back ends {np.mean(row['voxels']):.3f} voxels away.")
        else:
            other.append(
                f"- 48 orientations: results differ from the head by {max(row['difference_percent']):.3f} % of its "
                "range at the most, on average over the voxels; largest displacement "
                f"{max(row['largest_displacement_mm']):.2f} mm."
            )
    machines = {f"{row['processor']}, {row['vectors']}, {row['date']}": [] for row in rows.values()}
    for name, row in rows.items():
        machines[f"{row['processor']}, {row['vectors']}, {row['date']}"].append(name.partition(": ")[0])
    lines = [f"{', '.join(dict.fromkeys(names))}: {machine}." for machine, names in machines.items()]
    return {"tasks": "\n".join([*contrasts, "", *other, "", *lines])}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = ResultsFile("engine_tasks", {})
    for name, function in ROWS.items():
        results.measure(name, function)
    write_tables("engine_tasks", tables(results.content))
    print(tables(results.content)["tasks"])


if __name__ == "__main__":
    main()
