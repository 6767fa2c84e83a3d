"""The thesis' experiment (section 2.4.3) on real training: how many draws until a good model is found.

    python -m benchmarks.tuning_digits            # trains what is missing of the table, then replays
    python -m benchmarks.tuning_digits --runs 60

600 small convolutional models are trained once on scikit-learn's digits; `results/tuning_digits.csv`
keeps them (an interrupted training goes on). Then every method searches the table as if it trained:
600 runs, each begun with another model. Written to `results/tuning_digits.json`; the table goes to
`docs/results/tuning.md`.
"""

import argparse
import csv
import functools
import itertools
import multiprocessing
import time

import numpy as np

from app.files import write_csv
from app.tuning.space import Space
from app.tuning.surrogate import Observation, Surrogate
from benchmarks.pages import write_tables
from benchmarks.results_file import RESULTS, ResultsFile

AXES = {
    "filters": [4, 8, 16, 32, 64],
    "layers": [1, 2, 3],
    "kernel_size": [3, 5],
    "learning_rate": [1e-4, 1e-3, 1e-2, 1e-1],
    "batch_size": [8, 16, 32, 64, 128],
}
EPOCHS = 8
TABLE = RESULTS / "tuning_digits.csv"
GOALS = ("best", "within 1 %", "within 5 %", "within 10 %", "top 1 %", "top 5 %", "top 10 %")
SHOWN = ("best", "top 1 %", "top 5 %", "top 10 %")
# The thesis' table 2.3, goals as in `SHOWN`.
THESIS = {
    "thesis (CIFAR-10): random": ("297", "87 ± 75", "18 ± 17", "10 ± 10"),
    "thesis: Bayesian": ("87", "17 ± 11", "10 ± 8", "7 ± 7"),
}
THESIS_RATIOS = {"best": 87 / 297, "top 1 %": 17 / 87}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    losses = _table(options.processes)
    results = ResultsFile("tuning_digits", {"runs": options.runs, "epochs": EPOCHS, "models": len(losses)})
    for name, function in METHODS.items():
        results.measure(name, lambda function=function: _draws(function, losses, options))
    random = results.rows["random"]
    ratios = {
        name: {goal: row[goal]["mean"] / random[goal]["mean"] for goal in GOALS}
        for name, row in results.rows.items()
        if name != "random"
    }
    results.write(ratio_to_random=ratios)
    write_tables("tuning_digits", tables(results.content))
    for name, row in results.rows.items():
        print(name, {goal: f"{row[goal]['mean']:.0f} ± {row[goal]['deviation']:.0f}" for goal in GOALS})


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    lines = ["| | the best | top 1 % | top 5 % | top 10 % |", "|---|---:|---:|---:|---:|"]
    for name in METHODS:
        cells = [f"{rows[name][goal]['mean']:.0f} ± {rows[name][goal]['deviation']:.0f}" for goal in SHOWN]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in THESIS.items()]
    ratios = {goal: rows["bayesian"][goal]["mean"] / rows["random"][goal]["mean"] for goal in THESIS_RATIOS}
    best, top = (f"{ratio:.2f} (thesis: {THESIS_RATIOS[goal]:.2f})" for goal, ratio in ratios.items())
    lines += ["", f"Share of random search's draws that `bayesian` takes: the best {best}, the top 1 % {top}."]
    return {"draws": "\n".join(lines)}


def space():
    """The 600 models.

    Returns:
        `Space`.
    """
    import keras_tuner as kt

    hp = kt.HyperParameters()
    for name, values in AXES.items():
        hp.Choice(name, values, ordered=True)
    return Space(hp)


def _table(processes):
    """Validation loss of each model after its last epoch, trained where it is not known."""
    rows = []
    if TABLE.is_file():
        with open(TABLE, newline="") as file:
            rows = list(csv.DictReader(file))
    known = {tuple(row[name] for name in AXES) for row in rows}
    missing = [values for values in itertools.product(*AXES.values()) if tuple(map(str, values)) not in known]
    # Two processes of one thread each: models this small leave a second thread nothing to do.
    with multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
        for count, row in enumerate(pool.imap_unordered(_train, missing), len(rows) + 1):
            rows.append(row)
            if count % 10 == 0 or count == 600:
                write_csv(TABLE, sorted(rows, key=lambda row: [float(row[name]) for name in AXES]))
                print(f"{count} of 600 models trained", flush=True)
    where = space()
    return {
        where.key(where.row({name: type(AXES[name][0])(row[name]) for name in AXES})): float(row["validation_loss"])
        for row in rows
    }


def _one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _train(values):
    """One row of the table: a model trained for `EPOCHS` epochs from the same seed."""
    import keras

    parameters = dict(zip(AXES, values, strict=True))
    stack_of = (parameters["filters"], parameters["kernel_size"])
    (x_train, y_train), validation = _digits()
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Conv2D(*stack_of, padding="same", activation="relu") for _ in range(parameters["layers"])]
    head = [keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack, *head])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(parameters["learning_rate"]), loss, metrics=["accuracy"], jit_compile=False)
    started = time.perf_counter()
    history = model.fit(
        x_train, y_train, parameters["batch_size"], EPOCHS, verbose=0, validation_data=validation,
        validation_batch_size=len(validation[0]),
    ).history  # fmt: skip
    return parameters | {
        "parameters": model.count_params(),
        "validation_loss": round(history["val_loss"][-1], 6),
        "validation_accuracy": round(history["val_accuracy"][-1], 6),
        "seconds": round(time.perf_counter() - started, 3),
    }


@functools.cache
def _digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    x_train, x_validate, y_train, y_validate = train_test_split(x, y, train_size=1000, random_state=0, stratify=y)
    return (x_train, y_train), (x_validate, y_validate)


def _random(losses, run):
    """All models in random order."""
    keys = list(losses)
    return [keys[index] for index in np.random.default_rng(run).permutation(len(keys))]


def _ours(losses, run, **options):
    """The order in which the surrogate asks for models, until it has asked for the best."""
    where, rng = space(), np.random.default_rng(run)
    surrogate = Surrogate(where, **options)
    best = min(losses, key=losses.get)
    rows = {where.key(row): row for row in where.all()}
    order = [list(losses)[run % len(losses)]]
    while order[-1] != best:
        observations = [Observation(rows[key], losses[key]) for key in order]
        order.append(where.key(surrogate.propose(observations, [], set(order), 1, rng)[0]))
    return order


def _squared_exponential(losses, run):
    return _ours(losses, run, kernel="squared_exponential")


def _probability(losses, run):
    return _ours(losses, run, acquisition_name="probability_of_improvement")


METHODS = {
    "random": _random,
    "bayesian": _ours,
    "bayesian, squared exponential": _squared_exponential,
    "bayesian, probability of improvement": _probability,
}


def _draws(function, losses, options):
    started = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        orders = pool.starmap(function, [(losses, run) for run in range(options.runs)], chunksize=5)
    counts = {goal: [] for goal in GOALS}
    for order in orders:
        for goal, good in _good(losses).items():
            counts[goal].append(next(count for count, key in enumerate(order, 1) if key in good))
    row = {
        goal: {"mean": float(np.mean(values)), "deviation": float(np.std(values)), "worst": int(np.max(values))}
        for goal, values in counts.items()
    }
    return {**row, "seconds": time.perf_counter() - started}


def _good(losses):
    order = sorted(losses, key=losses.get)
    lowest = losses[order[0]]
    goals = {"best": order[:1]}
    for percent in (1, 5, 10):
        goals[f"within {percent} %"] = [key for key in order if losses[key] <= lowest * (1 + percent / 100)]
    for percent in (1, 5, 10):
        goals[f"top {percent} %"] = order[: len(order) * percent // 100]
    return {goal: set(keys) for goal, keys in goals.items()}


if __name__ == "__main__":
    main()
