"""HyperMorph here and VoxelMorph 0.2's HyperVxmDense: the same pairs, the same seconds of training.

    python -m benchmarks.hypermorph_against_voxelmorph [--seconds 120]

Every row is a process of its own: memory is the process' peak, seconds per step the median. Loss, batch size and
evaluation are the same for all. VoxelMorph's hypernetwork is given the paper's size (4 layers of 64 units), its
own default (6 of 128), and two learning rates (its script's 1e-4, and ours). One initialisation each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.brains import load_volumes, random_pairs, split
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]

LAMBDAS = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9]
ROWS = {
    "ours, default (forces, per channel)": ["ours", "forces", "per_channel", "1e-3"],
    "ours, low rank": ["ours", "forces", "low_rank", "1e-3"],
    "ours, full": ["ours", "forces", "full", "1e-3"],
    "ours, VoxelMorph's network (images, per channel)": ["ours", "images", "per_channel", "1e-3"],
    "VoxelMorph 0.2, 6 x 128, learning rate 1e-4": ["voxelmorph", "6x128", "full", "1e-4"],
    "VoxelMorph 0.2, 6 x 128, learning rate 1e-3": ["voxelmorph", "6x128", "full", "1e-3"],
    "VoxelMorph 0.2, 4 x 64, learning rate 1e-4": ["voxelmorph", "4x64", "full", "1e-4"],
    "VoxelMorph 0.2, 4 x 64, learning rate 1e-3": ["voxelmorph", "4x64", "full", "1e-3"],
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
    results.write(**summarise(results.rows))
    write_tables("hypermorph_against_voxelmorph", tables(results.content))
    print(tables(results.content)["rows"])


def in_child(words, seconds, data):
    """One row, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_for_seconds", *words, str(seconds), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(rows):
    """Speed, memory and size against the peer's fastest and smallest; whether it had begun to move labels."""
    ours = rows[DEFAULT]
    peers = [row for name, row in rows.items() if name.startswith(PEER)]
    best = [max(row["dice"][place] for row in peers) for place in range(len(LAMBDAS))]
    return {
        "lambdas": LAMBDAS,
        "dice_ours": ours["dice"],
        "dice_peer": best,
        "peer_moves_labels": any(abs(dice - row["dice_before"]) > 1e-3 for row in peers for dice in row["dice"]),
        "seconds_a_step_ratio": min(row["seconds_a_step"] for row in peers) / ours["seconds_a_step"],
        "memory_ratio": min(row["peak_gib"] for row in peers) / ours["peak_gib"],
        "parameters_ratio": min(row["parameters"] for row in peers) / ours["parameters"],
    }


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    columns = [*(f"lambda {lam:g}" for lam in LAMBDAS), "s per step", "steps", "peak GiB", "parameters", "processor"]
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, row in content["rows"].items():
        cells = [*(f"{dice:.3f}" for dice in row["dice"]), f"{row['seconds_a_step']:.3f}", row["steps"]]
        cells += [f"{row['peak_gib']:.2f}", f"{row['parameters']:,}", row["vectors"]]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return {"rows": "\n".join(lines)}


if __name__ == "__main__":
    main()
