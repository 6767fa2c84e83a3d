"""Registration without a model against greedy, ANTs and elastix, on the brains of IXI at 2 mm.

    python -m benchmarks.engine        100 minutes on 2 cores, most of them the rivals'

The pairs: the last 20 subjects in the cohort's order, drawn into 10 pairs, each in both directions. The engine's
presets, and the rivals' settings beside their defaults, were chosen on pairs of the first 80. Each setting of each side
is one process; its first pair is registered once before, so that compilation is apart: `first_cpu_seconds`. Each rival
lives in an environment of its own, `.venv-greedy` and so on, built on the first run. Rows are measured once for each
kind of processor, with AVX-512 or without. Resumable.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from app.processor import processor
from app.reporting.intervals import interval
from benchmarks.brains import DATA, STRUCTURES, warp_labels
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
PEERS = {
    "greedy": ("picsl_greedy==1.4.0.3", "nibabel==5.4.2", "numpy==2.4.6"),
    "ants": ("antspyx==0.6.3", "nibabel==5.4.2"),
    "surfa": ("surfa==0.6.3", "numpy==1.26.4"),
    "elastix": ("itk-elastix==0.25.4", "nibabel==5.4.2", "numpy==2.4.6"),
}
CORRELATION = {"syn_metric": "CC", "syn_sampling": 2}
BENDING = {
    "resolutions": 3,
    "spacing_mm": 8,
    "Registration": "MultiMetricMultiResolutionRegistration",
    "Metric": "AdvancedMattesMutualInformation TransformBendingEnergyPenalty",
    "Metric1Weight": 100,
    "MaximumNumberOfIterations": 500,
    "NumberOfSpatialSamples": 5000,
}
GREEDY = {
    "40x20x5": "-m NCC 2x2x2 -n 40x20x5 -s 1.73vox 0.71vox",
    "40x30x8": "-m NCC 2x2x2 -n 40x30x8 -s 2vox 0.9vox",
    "40x40x20": "-m NCC 2x2x2 -n 40x40x20 -s 1.73vox 0.71vox",
}
SETTINGS = {  # name: side, setting, threads
    **{f"ours, {preset}": ("ours", preset, 1) for preset in ("fast", "default", "accurate")},
    **{f"greedy, {name}": ("greedy", setting, 1) for name, setting in GREEDY.items()},
    "elastix, default": ("elastix", json.dumps({"resolutions": 3, "spacing_mm": 10}), 1),
    "elastix, bending energy": ("elastix", json.dumps(BENDING), 1),
    "SyN, default": ("ants", "{}", 1),
    "SyN, CC 40x20x0": ("ants", json.dumps(CORRELATION | {"reg_iterations": [40, 20, 0]}), 1),
    "SyN, CC 40x20x5": ("ants", json.dumps(CORRELATION | {"reg_iterations": [40, 20, 5]}), 1),
    "ours, default, two threads": ("ours", "default", 2),
    "greedy, 40x20x5, two threads": ("greedy", GREEDY["40x20x5"], 2),
    "SyN, CC 40x20x0, two threads": ("ants", json.dumps(CORRELATION | {"reg_iterations": [40, 20, 0]}), 2),
}


def pairs_of(subjects):
    """Ten pairs of the last twenty subjects, in both directions."""
    drawn = [subjects[len(subjects) - 20 + place] for place in np.random.default_rng(0).permutation(20)]
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    return [*pairs, *((fixed, moving) for moving, fixed in pairs)]


def interpreter(side):
    """The Python of one side; a rival's environment is built if it is not there."""
    if side not in PEERS:
        return sys.executable
    folder = ROOT / f".venv-{side}"
    python, stamp, requirements = folder / "bin" / "python", folder / "requirements.txt", PEERS[side]
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != "\n".join(requirements):
        print(f"building {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        stamp.write_text("\n".join(requirements))
    return python


def measure(side, setting, threads, pairs, spacing_mm=(2.0, 2.0, 2.0)):
    """All pairs by one setting.

    Args:
        side: "ours", "network", or a rival of `PEERS`.
        setting: See `benchmarks.engine_child`.
        threads: How many.
        pairs: List of (moving, fixed) `Subject`s.
        spacing_mm: Of their voxels.

    Returns:
        Dict from measure to a list over pairs.
    """
    lines = "\n".join(f"{moving.image} {fixed.image} {number}" for number, (moving, fixed) in enumerate(pairs))
    with tempfile.TemporaryDirectory() as folder:
        command = [interpreter(side), "-m", "benchmarks.engine_child", side, setting, threads, folder]
        done = subprocess.run(list(map(str, command)), input=lines, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{side}, {setting} failed:\n{done.stderr[-3000:]}")
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
        for row, (moving, fixed) in zip(rows, pairs, strict=True):
            row |= quality(moving, fixed, np.load(f"{folder}/{row['name']}.npy"), spacing_mm)
    names = [name for name in rows[0] if name != "name"]
    return {name: [round(row[name], 5) for row in rows] for name in names}


def quality(moving, fixed, displacement, spacing_mm):
    """Dice, HD95, folding and smoothness of one displacement, the same for every side."""
    from app.data.read import read_labels
    from app.reporting.overlap import dice_per_label, hd95_per_label
    from app.systems.registration.measure import jacobian, mean_known, regularity

    before, target = (read_labels(subject.labels).array.astype(int) for subject in (moving, fixed))
    after = warp_labels(before, displacement)
    return {
        "dice_before": mean_known(dice_per_label(target, before, STRUCTURES)),
        "dice": mean_known(dice_per_label(target, after, STRUCTURES)),
        "hd95_mm": mean_known(hd95_per_label(target, after, STRUCTURES, spacing_mm)),
        **regularity(displacement, jacobian(displacement)),
    }


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    pairs, lines = content["settings"]["pairs"], []
    for vectors in sorted({row["vectors"] for row in content["rows"].values()}, reverse=True):
        lines += _table({name: row for name, row in content["rows"].items() if row["vectors"] == vectors}, pairs)
    return {"rivals": "\n".join(lines[:-1])}


def _table(rows, pairs):
    """Lines of one processor's table."""
    lines = [
        "| | Dice | 95 % interval over subjects | HD95 (mm) | folding (%) | SDlogJ | CPU seconds | seconds "
        "| first pair | GiB |",
        "|---|" + "---:|" * 9,
    ]
    for name, row in rows.items():
        mean = {key: np.mean(row[key]) for key in row if isinstance(row[key], list)}
        low, high = interval(pairs, row["dice"])
        lines.append(
            f"| {name.rsplit(', ', 1)[0]} | {mean['dice']:.3f} | {low:.3f} to {high:.3f} | {mean['hd95_mm']:.2f} | "
            f"{mean['folding_percent']:.4f} | {mean['sdlogj']:.3f} | {mean['cpu_seconds']:.2f} | "
            f"{mean['wall_seconds']:.2f} | {mean['first_cpu_seconds']:.1f} | {max(row['peak_gib']):.2f} |"
        )
    first = next(iter(rows.values()))
    return [
        *lines,
        "",
        f"{len(pairs)} pairs, mean Dice before {np.mean(first['dice_before']):.3f}; {first['processor']}, "
        f"{first['vectors']}, {first['date']}; one thread where nothing else is said. Folding is counted between "
        "voxels. CPU seconds are those of a further pair of the same size, and seconds those by the clock beside other "
        "work; the first pair has compilation in its CPU seconds.",
        "",
    ]


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    from app.systems.registration.cohort import read_cohort
    from app.systems.registration.config import CohortConfig

    subjects = read_cohort(CohortConfig(cohort=DATA / "brains_ixi_2mm" / "participants.csv"))
    pairs = pairs_of(subjects)
    named = [[moving.name, fixed.name] for moving, fixed in pairs]
    results = ResultsFile("engine", {"pairs": named})
    for name, setting in SETTINGS.items():
        results.measure(f"{name}, {processor()['vectors']}", lambda of=setting: measure(*of, pairs))
        write_tables("engine", tables(results.content))
    print(tables(results.content)["rivals"])


if __name__ == "__main__":
    main()
