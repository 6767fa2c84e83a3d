"""Search methods over tables and simulators in simulated time, 30 seeds each.

    python -m benchmarks.tuning_replay                 # about an hour; goes on after an interruption
    python -m benchmarks.tuning_replay --seeds 5

Four workers; the budget is that of 30 full trainings. Tasks: two of LCBench (`lcbench_table.npz`),
learning curves that cross (`crossing_curves`), and those with models too large for memory. Optuna is
installed on its own into `.peers/` beside the sources. Written to `results/tuning_replay.json`; the tables go to
`docs/results/tuning.md`, the curves to `docs/figures/tuning_replay.png`.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata, wilcoxon
from threadpoolctl import threadpool_limits

from app.tuning.space import Space
from benchmarks.brains import DATA
from benchmarks.pages import write_tables
from benchmarks.replay import replay_optuna, replay_oracle
from benchmarks.results_file import ResultsFile

WORKERS, FULL_TRAININGS, MOMENTS = 4, 30, 40
LCBENCH_TASKS = (0, 13)
ROOT = Path(__file__).resolve().parents[1]
PEERS, PICTURE = ROOT / ".peers", ROOT / "docs" / "figures" / "tuning_replay.png"


# Keras Tuner loads TensorFlow: it is imported where an oracle or a task is made, not to write the tables.
def _common(task, seed):
    import keras_tuner as kt

    return {
        "objective": kt.Objective("loss", "min"),
        "hyperparameters": task.hyperparameters(),
        "seed": seed,
        "max_consecutive_failed_trials": 10_000,
    }


def _ours():
    from app.tuning.hyperband_bayesian_oracle import HyperbandBayesianOracle

    return HyperbandBayesianOracle


def _no_liar():
    class NoLiar(_ours()):
        """Running trials are ignored."""

        def _running(self):
            return []

    return NoLiar


def _thesis():
    from benchmarks.thesis_rule import ThesisOracle

    return ThesisOracle


def _hyperband(kind=_ours, **options):
    def make(task, seed):
        return kind()(max_budget=task.epochs, cycles=100, **_common(task, seed), **options)

    return make


def _random(task, seed):
    from app.tuning.plain_oracles import RandomOracle

    return RandomOracle(max_trials=10_000, **_common(task, seed))


def _bayesian(task, seed):
    from app.tuning.bayesian_oracle import BayesianOracle

    return BayesianOracle(max_trials=10_000, **_common(task, seed))


def _keras_hyperband(task, seed):
    import keras_tuner as kt

    return kt.oracles.HyperbandOracle(max_epochs=task.epochs, hyperband_iterations=100, **_common(task, seed + 1))


def _keras_bayesian(task, seed):
    import keras_tuner as kt

    return kt.oracles.BayesianOptimizationOracle(max_trials=10_000, **_common(task, seed + 1))


METHODS = {
    "random": _random,
    "Keras Tuner Bayesian": _keras_bayesian,
    "Keras Tuner Hyperband": _keras_hyperband,
    "Optuna TPE + Hyperband": None,
    "bayesian": _bayesian,
    "hyperband": _hyperband(guided=False),
    "hyperband+bayesian": _hyperband(),
    "without the time kernel": _hyperband(over_time=False),
    "without the liar": _hyperband(_no_liar),
    "without feasibility": _hyperband(feasibility=False),
    "the thesis' rule": _hyperband(_thesis),
}
EVERYWHERE = (*(f"LCBench {index}" for index in LCBENCH_TASKS), "crossing curves")
LITTLE_MEMORY = "crossing curves, little memory"
# Keras Tuner's Bayesian oracle forgets failures, proposes them again and again, and had not ended one run there after
# nine minutes of computing.
OF_LITTLE_MEMORY = ("random", "Keras Tuner Hyperband", "hyperband", "hyperband+bayesian", "without feasibility")
ABLATIONS = ("without the time kernel", "without the liar", "without feasibility", "the thesis' rule")


def tasks():
    """Every task that is replayed.

    Returns:
        Dict from name to function `(seed) -> (task, fails)`.
    """
    from benchmarks.crossing_curves import CrossingCurves
    from benchmarks.lcbench import LCBench

    file = DATA / "hpo" / "lcbench_table.npz"
    found = {f"LCBench {index}": lambda seed, index=index: (LCBench(file, index), None) for index in LCBENCH_TASKS}
    found["crossing curves"] = lambda seed: (CrossingCurves(seed), None)
    found[LITTLE_MEMORY] = lambda seed: (CrossingCurves(seed), _too_large)
    return found


def _too_large(values):
    return values["width"] ** 2 * values["depth"] > 60_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    _peers()
    settings = {"seeds": options.seeds, "workers": WORKERS, "full_trainings": FULL_TRAININGS}
    results = ResultsFile("tuning_replay", settings)
    tasks()  # imports Keras Tuner before the processes are forked, which then need not
    with multiprocessing.get_context("fork").Pool(options.processes, maxtasksperchild=8) as pool:
        for task in tasks():
            for method in OF_LITTLE_MEMORY if task == LITTLE_MEMORY else METHODS:
                name = f"{task} / {method}"
                if method == "without feasibility" and not tasks()[task](0)[1]:  # the same search: nothing fails
                    results.measure(name, lambda t=task: results.rows[f"{t} / hyperband+bayesian"])
                else:
                    results.measure(name, lambda t=task, m=method: _row(pool, t, m, options.seeds))
    results.write(summary=_summaries(results.rows))
    write_tables("tuning_replay", tables(results.content))
    _figure(results.rows)
    for which, moments in results.content["summary"].items():
        for moment, table in moments.items():
            print(which, moment)
            for method, row in table.items():
                print(f"  {method:28s}", row)


def _peers():
    if not (PEERS / "optuna").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PEERS), "optuna==4.5.0"]
        subprocess.run(command, check=True)
    sys.path.append(str(PEERS))


def _row(pool, task, method, seeds):
    started = time.perf_counter()
    regrets = pool.starmap(_regret, [(task, method, seed) for seed in range(seeds)], chunksize=1)
    regrets = np.array(regrets)
    quarter = MOMENTS // 4 - 1
    return {
        "quarter": [round(value, 6) for value in regrets[:, quarter]],
        "end": [round(value, 6) for value in regrets[:, -1]],
        "median": [round(value, 6) for value in np.median(regrets, axis=0)],
        "computed_seconds": round(time.perf_counter() - started, 1),
    }


def _regret(name, method, seed):
    """Normalised regret of the best so far at each moment: 0 is the task's best, 1 its worst."""
    task, fails = tasks()[name](seed)
    space = task.hyperparameters()
    rng = np.random.default_rng(0)
    drawn = [Space(space).values(row) for row in Space(space).draw(300, rng)]
    full = float(np.mean([task.seconds(values) for values in drawn])) * task.epochs
    budget = FULL_TRAININGS * full / WORKERS
    if METHODS[method] is None:
        incumbent = replay_optuna(task, budget, WORKERS, seed, fails)
    else:
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):
            incumbent = replay_oracle(METHODS[method](task, seed), task, budget, WORKERS, folder, fails)
    best, worst = task.optimum()
    found = np.array(incumbent.at(np.linspace(0, budget, MOMENTS + 1)[1:], worst))
    return (np.clip(found, best, worst) - best) / (worst - best)


def tables(content):
    """The page's tables in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    summaries = _summaries(content["rows"])
    columns = ["", "rank at a quarter", "regret at a quarter", "p", "rank at the end", "regret at the end", "p"]
    return {
        "regret": _table(columns, summaries["all methods"]),
        "little_memory": _table(columns, summaries[LITTLE_MEMORY]),
    }


def _table(columns, moments):
    lines = [_line(columns), "|---|" + "---:|" * (len(columns) - 1)]
    for method in moments["quarter"]:
        cells = [f"**{method}**" if method == "hyperband+bayesian" else method]
        for moment in ("quarter", "end"):
            row = moments[moment][method]
            p = row["wilcoxon_p"]
            regret = " / ".join(f"{value:.3f}" for value in row["median_regret"].values())
            cells += [f"{row['mean_rank']:.2f}", regret, "" if p is None else f"{p:.2g}"]
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells):
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _summaries(rows):
    return {
        "all methods": summarise(rows, EVERYWHERE, METHODS),
        LITTLE_MEMORY: summarise(rows, [LITTLE_MEMORY], OF_LITTLE_MEMORY),
    }


def summarise(rows, names, methods):
    """Mean ranks, regrets and tests, at a quarter of the budget and at its end.

    Args:
        rows: Dict from "task / method" to its row.
        names: Tasks.
        methods: Names of the methods to compare.

    Returns:
        Dict from moment to dict from method to figures.
    """
    names, methods, summary = list(names), list(methods), {}
    for moment in ("quarter", "end"):
        values = np.array([[rows[f"{task} / {method}"][moment] for method in methods] for task in names])
        ranks = rankdata(values, axis=1).mean(axis=(0, 2))
        ours = values[:, methods.index("hyperband+bayesian")].ravel()
        table = {}
        for index, method in enumerate(methods):
            theirs = values[:, index].ravel()
            table[method] = {
                "mean_rank": round(float(ranks[index]), 3),
                "median_regret": {task: float(f"{np.median(values[t, index]):.4g}") for t, task in enumerate(names)},
                "wins_of_hyperband+bayesian": int((ours < theirs).sum()),
                "losses": int((ours > theirs).sum()),
                "wilcoxon_p": float(f"{wilcoxon(ours, theirs).pvalue:.3g}") if np.any(ours != theirs) else None,
            }
        summary[moment] = table
    return summary


def _figure(rows):
    """Median regret against simulated time."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(1, len(tasks()), figsize=(4 * len(tasks()), 3.6), layout="constrained")
    share = np.linspace(0, FULL_TRAININGS, MOMENTS + 1)[1:]
    for task, axis in zip(tasks(), axes, strict=True):
        for index, method in enumerate(name for name in METHODS if name not in ABLATIONS):
            if f"{task} / {method}" not in rows:
                continue
            width = 2.5 if method == "hyperband+bayesian" else 1.2
            median = np.maximum(rows[f"{task} / {method}"]["median"], 1e-3)
            axis.plot(share, median, color=f"C{index}", linewidth=width, label=method)
        axis.set(title=task, yscale="log", xlabel="full trainings")
    axes[0].set_ylabel("normalised regret, median")
    axes[0].legend(fontsize=7)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
