"""HyperMorph here and VoxelMorph 0.2's HyperVxmDense: the same pairs, the same seconds of training.

    python -m benchmarks.hypermorph_against_voxelmorph [--seconds 120]

Every row is a process of its own with the machine to itself: memory is the process' peak,
seconds a step the median. Loss, batch size and evaluation are the same for all; VoxelMorph is given
two learning rates (its script's 1e-4, and ours) and judged by the better at each lambda. The
rows of our three generators are what the default was chosen by.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.brains import load_volumes, random_pairs, split
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]

LAMBDAS = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9]
ROWS = {
    "ours, default (forces, per channel)": ["ours", "forces", "per_channel", "1e-3"],
    "ours, low rank": ["ours", "forces", "low_rank", "1e-3"],
    "ours, full": ["ours", "forces", "full", "1e-3"],
    "ours, VoxelMorph's network (images, per channel)": ["ours", "images", "per_channel", "1e-3"],
    "VoxelMorph 0.2, learning rate 1e-4": ["voxelmorph", "images", "full", "1e-4"],
    "VoxelMorph 0.2, learning rate 1e-3": ["voxelmorph", "images", "full", "1e-3"],
}
PEER = "VoxelMorph 0.2"
DEFAULT = next(iter(ROWS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    results = ResultsFile("hypermorph_against_voxelmorph", {"lambdas": LAMBDAS, **vars(options)})
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "brains.npz"
        if any(name not in results.rows for name in ROWS):
            images, labels = load_volumes()
            train, rest = split(len(images), 80)
            np.savez(data, images=images, labels=labels, train=train, pairs=random_pairs(rest, options.pairs))
        for name, words in ROWS.items():
            results.measure(name, lambda words=words: in_child(words, options.seconds, data))
    summary = summarise(results.rows)
    results.write(**summary)
    print(json.dumps(summary, indent=2))


def in_child(words, seconds, data):
    """One row, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_for_seconds", *words, str(seconds), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(rows):
    """Ours against the peer's better learning rate at each lambda."""
    ours = rows[DEFAULT]
    peers = [row for name, row in rows.items() if name.startswith(PEER)]
    best = [max(row["dice"][place] for row in peers) for place in range(len(LAMBDAS))]
    return {
        "lambdas": LAMBDAS,
        "dice_ours": ours["dice"],
        "dice_peer": best,
        "ahead_at_every_lambda": all(a > b for a, b in zip(ours["dice"], best, strict=True)),
        "seconds_a_step_ratio": min(row["seconds_a_step"] for row in peers) / ours["seconds_a_step"],
        "memory_ratio": min(row["peak_gib"] for row in peers) / ours["peak_gib"],
        "parameters_ratio": peers[0]["parameters"] / ours["parameters"],
    }


if __name__ == "__main__":
    main()
