"""HyperMorph on the brains of IXI at 2 mm: the config that users get, from training to figures, three seeds.

    python -m benchmarks.ixi_3d                  40 to 100 minutes a seed on 2 cores
    python -m benchmarks.ixi_3d --seeds 1        one of them
    KERAS_BACKEND=jax python -m benchmarks.ixi_3d       on a GPU, where JAX has one

Resumable: the run folders are `runs/ixi_3d_SEED`. The seed is that of the weights, the batches and the
split: each seed tests other subjects.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from app.reporting.intervals import interval
from benchmarks.brains import DATA
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/hypermorph/ixi_3d.yaml"
SEEDS = [0, 1, 2]
MEASURES = ("dice", "dice_before", "hd95_mm", "folding_percent", "sdlogj", "seconds")
SHOWN = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def measure(seed, runs):
    """Train and test one seed.

    Args:
        seed: Integer.
        runs: Folder of the run folders.

    Returns:
        Dict: the best lambda in validation, and for each lambda every measure of every test pair.
    """
    from app.training.run_folder import RunFolder

    run = runs / f"ixi_3d_{seed}"
    folder = DATA / "brains_ixi_2mm"
    assignments = {
        "output": run,
        "seed": seed,
        "data.cohort": folder / "participants.csv",
        "data.label_names": folder / "labels.csv",
    }
    if not (run / "metrics.json").is_file():
        words = [word for key, value in assignments.items() for word in ("--set", f"{key}={value}")]
        subprocess.run([sys.executable, "main.py", "hypermorph", "--config", CONFIG, *words], cwd=ROOT, check=True)
    import keras  # noqa: F401 - so that the row names what it ran on

    history = RunFolder(run).read_history()
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lambdas = list(dict.fromkeys(float(row["lambda"]) for row in rows))
    of = {lam: [row for row in rows if float(row["lambda"]) == lam] for lam in lambdas}
    return {
        "best": json.loads((run / "metrics.json").read_text(encoding="utf-8"))["best"],
        "training_minutes": sum(row["seconds"] for row in history) / 60.0,
        "validation_dice": {row["epoch"]: row["validation_dice"] for row in history if row.get("validation_dice")},
        "pairs": [[row["moving"], row["fixed"]] for row in of[lambdas[0]]],
        "lambdas": lambdas,
        **{name: [[round(float(row[name]), 5) for row in of[lam]] for lam in lambdas] for name in MEASURES},
    }


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = list(content["rows"].values())
    places = [next(i for i, lam in enumerate(rows[0]["lambdas"]) if abs(lam - shown) < 1e-6) for shown in SHOWN]

    def means(name, place):
        return np.mean([np.mean(row[name][place]) for row in rows])

    def apart(place):
        ends = np.mean([interval(row["pairs"], row["dice"][place]) for row in rows], axis=0)
        return f"{ends[0]:.3f} to {ends[1]:.3f}"

    def line(label, before, cells):
        return f"| {label} | {before} | {' | '.join(cells)} |"

    lines = [
        line("", "before", [f"lambda {shown:g}" for shown in SHOWN]),
        "|---|" + "---:|" * (len(SHOWN) + 1),
        line("mean Dice", f"{means('dice_before', 0):.3f}", [f"{means('dice', place):.3f}" for place in places]),
        line("its 95 % interval over subjects", "", [apart(place) for place in places]),
        line("HD95 (mm)", "", [f"{means('hd95_mm', place):.2f}" for place in places]),
        line("folding (%)", "", [f"{means('folding_percent', place):.4f}" for place in places]),
        line("SDlogJ", "", [f"{means('sdlogj', place):.3f}" for place in places]),
    ]
    best = ", ".join(f"{row['best']['lambda']:g}" for row in rows)
    at_best = [row["dice"][row["lambdas"].index(row["best"]["lambda"])] for row in rows]
    minutes = [row["training_minutes"] for row in rows]
    on = rows[0].get("accelerator") or f"{rows[0]['processor']}, {rows[0]['vectors']}"
    lines += [
        "",
        f"Lambda that was best in validation, a seed each: {best}; there mean Dice "
        f"{', '.join(f'{np.mean(dice):.3f}' for dice in at_best)}. Trained in {min(minutes):.0f} to {max(minutes):.0f} "
        f"minutes on {on}.",
    ]
    return {"ixi": "\n".join(lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder of the run folders")
    options = parser.parse_args()
    results = ResultsFile("ixi_3d", {"config": CONFIG})
    for seed in options.seeds:
        results.measure(f"seed {seed}", lambda seed=seed: measure(seed, options.runs))
    if len(results.rows) == len(SEEDS):
        results.content["rows"] = dict(sorted(results.rows.items()))
        results.write()
        write_tables("ixi_3d", tables(results.content))
        print(tables(results.content)["ixi"])


if __name__ == "__main__":
    main()
