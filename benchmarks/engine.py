"""Registration without a model against greedy (`picsl_greedy`), on the brains of IXI at 2 mm.

    python -m benchmarks.engine        20 minutes on 2 cores

The pairs: the last 20 subjects in the cohort's order, drawn into 10 pairs, each in both directions. The engine's
presets were chosen on pairs of the first 80. Each setting of each side is one process of one thread; its first pair is
registered once before, so that compilation is apart: `first_cpu_seconds`. greedy lives in an environment of its own,
`.venv-greedy`, built on the first run. Resumable.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from benchmarks.brains import DATA, STRUCTURES, warp_labels
from benchmarks.intervals import interval
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / ".venv-greedy"
REQUIREMENTS = ("picsl_greedy==1.4.0.3", "nibabel==5.4.2", "numpy==2.4.6")
THREADS = 1
SETTINGS = {
    "ours, fast": ("ours", "fast"),
    "ours, default": ("ours", "default"),
    "ours, accurate": ("ours", "accurate"),
    "greedy, 40x20x5": ("greedy", "-m NCC 2x2x2 -n 40x20x5 -s 1.73vox 0.71vox"),
    "greedy, 40x30x8": ("greedy", "-m NCC 2x2x2 -n 40x30x8 -s 2vox 0.9vox"),
    "greedy, 40x40x20": ("greedy", "-m NCC 2x2x2 -n 40x40x20 -s 1.73vox 0.71vox"),
}


def pairs_of(subjects):
    """Ten pairs of the last twenty subjects, in both directions."""
    drawn = [subjects[len(subjects) - 20 + place] for place in np.random.default_rng(0).permutation(20)]
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    return [*pairs, *((fixed, moving) for moving, fixed in pairs)]


def build_peer():
    """greedy's environment: its Python, built if it is not there."""
    python = PEER / "bin" / "python"
    stamp = PEER / "requirements.txt"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != "\n".join(REQUIREMENTS):
        print(f"building {PEER} ...", flush=True)
        venv.create(PEER, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        stamp.write_text("\n".join(REQUIREMENTS))
    return python


def measure(side, setting, pairs, python):
    """All pairs by one setting.

    Args:
        side: "ours" or "greedy".
        setting: Preset, or greedy's options.
        pairs: List of (moving, fixed) `Subject`s.
        python: Interpreter of the side.

    Returns:
        Dict from measure to a list over pairs.
    """
    lines = "\n".join(f"{moving.image} {fixed.image} {number}" for number, (moving, fixed) in enumerate(pairs))
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", "benchmarks.engine_child", side, setting, str(THREADS), folder]
        done = subprocess.run(list(map(str, command)), input=lines, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{side}, {setting} failed:\n{done.stderr[-3000:]}")
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
        for row, (moving, fixed) in zip(rows, pairs, strict=True):
            row |= quality(moving, fixed, np.load(f"{folder}/{row['name']}.npy"))
    names = [name for name in rows[0] if name != "name"]
    return {name: [round(row[name], 5) for row in rows] for name in names}


def quality(moving, fixed, displacement):
    """Dice, HD95, folding and smoothness of one displacement, the same for both sides."""
    from app.data.read import read_labels
    from app.reporting.overlap import dice_per_label, hd95_per_label
    from app.systems.registration.measure import jacobian, mean_known, regularity

    before, target = (read_labels(subject.labels).array.astype(int) for subject in (moving, fixed))
    after = warp_labels(before, displacement)
    return {
        "dice_before": mean_known(dice_per_label(target, before, STRUCTURES)),
        "dice": mean_known(dice_per_label(target, after, STRUCTURES)),
        "hd95_mm": mean_known(hd95_per_label(target, after, STRUCTURES, (2.0, 2.0, 2.0))),
        **regularity(displacement, jacobian(displacement)),
    }


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows, pairs = content["rows"], content["settings"]["pairs"]
    lines = [
        "| | Dice | 95 % interval over subjects | HD95 (mm) | folding (%) | SDlogJ | CPU seconds | first pair | GiB |",
        "|---|" + "---:|" * 8,
    ]
    for name, row in rows.items():
        mean = {key: np.mean(row[key]) for key in row if isinstance(row[key], list)}
        low, high = interval(pairs, row["dice"])
        lines.append(
            f"| {name} | {mean['dice']:.3f} | {low:.3f} to {high:.3f} | {mean['hd95_mm']:.2f} | "
            f"{mean['folding_percent']:.4f} | {mean['sdlogj']:.3f} | {mean['cpu_seconds']:.2f} | "
            f"{mean['first_cpu_seconds']:.1f} | {max(row['peak_gib']):.2f} |"
        )
    first = next(iter(rows.values()))
    lines += [
        "",
        f"{len(pairs)} pairs, mean Dice before {np.mean(first['dice_before']):.3f}; one thread, {first['processor']}, "
        f"{first['vectors']}, {first['date']}. Folding is counted between voxels. CPU seconds are those of a further "
        "pair of the same size; the first has compilation in it.",
    ]
    return {"greedy": "\n".join(lines)}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    from app.systems.registration.cohort import read_cohort
    from app.systems.registration.config import CohortConfig

    subjects = read_cohort(CohortConfig(cohort=DATA / "brains_ixi_2mm" / "participants.csv"))
    pairs = pairs_of(subjects)
    named = [[moving.name, fixed.name] for moving, fixed in pairs]
    results = ResultsFile("engine", {"threads": THREADS, "settings": SETTINGS, "pairs": named})
    peer = build_peer()
    for name, (side, setting) in SETTINGS.items():
        python = sys.executable if side == "ours" else peer
        results.measure(name, lambda of=(side, setting, pairs, python): measure(*of))
    write_tables("engine", tables(results.content))
    print(tables(results.content)["greedy"])


if __name__ == "__main__":
    main()
