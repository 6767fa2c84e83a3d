"""The engine, a trained network, and the network's answer improved by the engine: brains and hippocampi.

    python -m benchmarks.engine_network        90 minutes on 2 cores

- Brains: the 20 pairs of `benchmarks.engine`; networks are trained on the other 80 subjects of IXI, 12 epochs of 225
  pairs.
- Hippocampi: 40 pairs of crops with manual labels, laid on each other by their centres; intensities between the 0.5th
  and the 99.5th percentile. Networks are trained on the other 180, 15 epochs of 225 pairs.

A network is HyperMorph as `configs/hypermorph/ixi_3d.yaml` has it, at the lambda that was best in validation, on ten
subjects of its own; three seeds. Resumable: the run folders are `runs/engine_network/DATA_SEED`.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np

from app.reporting.intervals import interval
from benchmarks.brains import DATA
from benchmarks.engine import GREEDY, measure, pairs_of
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/hypermorph/ixi_3d.yaml"
SEEDS = (0, 1, 2)
EPOCHS = {"brains": 12, "hippocampi": 15}
REFINED = (15, 30, 60)
CROP = (48, 64, 48)
SPACING_MM = {"brains": (2.0, 2.0, 2.0), "hippocampi": (1.0, 1.0, 1.0)}


def brains(folder):
    """The pairs that are tested, and the subjects that train."""
    del folder
    from app.systems.registration.cohort import read_cohort
    from app.systems.registration.config import CohortConfig

    subjects = read_cohort(CohortConfig(cohort=DATA / "brains_ixi_2mm" / "participants.csv"))
    return pairs_of(subjects), subjects[:-20]


def hippocampi(folder):
    """The pairs that are tested, and the subjects that train, as crops written to the folder."""
    from app.systems.registration.cohort import Subject

    files = sorted((DATA / "hippocampus_msd" / "images").glob("*.nii.gz"))
    order = [files[place] for place in np.random.default_rng(0).permutation(len(files))]
    subjects = [Subject(path.name.split(".")[0], *save_crop(path, folder)) for path in order]
    return list(zip(subjects[:80:2], subjects[1:80:2], strict=True)), subjects[80:]


def save_crop(path, folder):
    """Write a hippocampus and its labels about their centre on the grid of all, the image in 0 to 255.

    Args:
        path: File of the image.
        folder: Where they are written.

    Returns:
        The two files.
    """
    image = nibabel.load(path).get_fdata().astype("float32")
    labels = nibabel.load(path.parents[1] / "labels" / path.name).get_fdata().astype("uint8")
    low, high = np.percentile(image, (0.5, 99.5))
    image = np.rint(255 * np.clip((image - low) / (high - low), 0, 1)).astype("uint8")
    spare = [size - count for size, count in zip(CROP, image.shape, strict=True)]
    room = [(free // 2, free - free // 2) for free in spare]
    files = [Path(folder) / f"{kind}_{path.name}" for kind in ("image", "labels")]
    for file, padded in zip(files, (np.pad(image, room, mode="edge"), np.pad(labels, room)), strict=True):
        nibabel.save(nibabel.Nifti1Image(padded, np.eye(4)), file)
    return files


COHORTS = {"hippocampi": hippocampi, "brains": brains}


def trained(data, seed, subjects):
    """Train a network, unless its run folder is there.

    Args:
        data: "brains" or "hippocampi".
        seed: Integer.
        subjects: List of `Subject` to train and validate on.

    Returns:
        Its run folder.
    """
    run = ROOT / "runs" / "engine_network" / f"{data}_{seed}"
    if (run / "metrics.json").is_file():
        return run
    run.parent.mkdir(parents=True, exist_ok=True)
    cohort = run.with_name(f"{data}.csv")
    with open(cohort, "w", newline="") as file:
        csv.writer(file).writerows(
            [("subject", "image", "labels"), *((each.name, each.image, each.labels) for each in subjects)]
        )
    assignments = {
        "output": run,
        "seed": seed,
        "data.cohort": cohort,
        "data.label_names": "null",
        "data.split": f"{{train: {len(subjects) - 12}, validate: 10, test: 2}}",
        "data.pairs": 1,
        "training.epochs": EPOCHS[data],
    }
    words = [word for key, value in assignments.items() for word in ("--set", f"{key}={value}")]
    subprocess.run([sys.executable, "main.py", "hypermorph", "--config", CONFIG, *words], cwd=ROOT, check=True)
    return run


def rows_of(data, subjects):
    """What is measured: a name, the side and a function that gives its setting."""
    for preset in ("fast", "default", "accurate"):
        yield f"engine, {preset}", "ours", lambda preset=preset: preset
    for name, options in GREEDY.items():
        yield f"greedy, {name}", "greedy", lambda options=options: options
    for iterations in (0, *REFINED):
        name = f"network, refine {iterations}" if iterations else "network"
        for seed in SEEDS:
            yield (
                f"{name}, seed {seed}",
                "network",
                lambda seed=seed, of=iterations: f"{trained(data, seed, subjects)} {of}",
            )


def tables(content):
    """The page's tables in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    measured = {name.partition(": ")[0] for name in content["rows"]}
    return {data: "\n".join(_table(data, content)) for data in COHORTS if data in measured}


def _table(data, content):
    lines = [
        "| | Dice | 95 % interval over subjects | HD95 (mm) | folding (%) | SDlogJ | CPU seconds |",
        "|---|" + "---:|" * 6,
    ]
    groups, pairs = {}, content["settings"]["pairs"][data]
    for name, row in content["rows"].items():
        kind, _, label = name.partition(": ")
        if kind == data:
            groups.setdefault(label.partition(", seed")[0], []).append(row)
    for label, rows in groups.items():
        mean = {key: np.mean([row[key] for row in rows]) for key in rows[0] if isinstance(rows[0][key], list)}
        low, high = np.mean([interval(pairs, row["dice"]) for row in rows], axis=0)
        each = ", ".join(f"{np.mean(row['dice']):.3f}" for row in rows)
        each = f" ({each})" if len(rows) > 1 else ""
        lines.append(
            f"| {label} | {mean['dice']:.3f}{each} | {low:.3f} to {high:.3f} | {mean['hd95_mm']:.2f} | "
            f"{mean['folding_percent']:.4f} | {mean['sdlogj']:.3f} | {mean['cpu_seconds']:.2f} |"
        )
    first = next(iter(groups.values()))[0]
    return [
        *lines,
        "",
        f"{len(pairs)} pairs, mean Dice before {np.mean(first['dice_before']):.3f}; one thread, {first['processor']}, "
        f"{first['vectors']}, {first['date']}. In brackets: the seeds. CPU seconds are those of a further pair.",
    ]


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cohorts = {data: cohort(folder) for data, cohort in COHORTS.items()}
        pairs = {data: [[one.name, other.name] for one, other in pairs] for data, (pairs, _) in cohorts.items()}
        results = ResultsFile("engine_network", {"epochs": EPOCHS, "refined": REFINED, "pairs": pairs})
        for data, (pairs, subjects) in cohorts.items():
            for name, side, setting in rows_of(data, subjects):
                spacing = SPACING_MM[data]
                results.measure(
                    f"{data}: {name}", lambda a=side, b=setting, p=pairs, s=spacing: measure(a, b(), 1, p, s)
                )
                if len(tables(results.content)) == len(COHORTS):
                    write_tables("engine_network", tables(results.content))


if __name__ == "__main__":
    main()
