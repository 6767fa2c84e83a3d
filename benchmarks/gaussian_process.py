"""The growing Cholesky factor against full ones, and a suggestion against Keras Tuner's.

    python -m benchmarks.gaussian_process

Written to `results/gaussian_process.json`: for n points the time of 27 liars told one after another
with the growing factor and with 27 full factors; the error of the factor after 1,000 appends; and the
time of a suggestion at 100, 300 and 1,000 trials (7 hyper-parameters) of ours, amortised over the
refits of the kernel, and of `keras_tuner.oracles.BayesianOptimizationOracle`. The table goes to
`docs/results/tuning.md`.
"""

import argparse
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from benchmarks.pages import write_tables  # noqa: E402
from benchmarks.results_file import ResultsFile  # noqa: E402

BATCH = 27
SIZES = (100, 300, 1000, 2000)
SUGGESTED = (100, 300, 1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    results = ResultsFile("gaussian_process", {"batch": BATCH, "repeats": options.repeats, "threads": 1})
    results.measure("error after 1,000 appends", _error)
    for size in SIZES:
        results.measure(f"liars {size}", lambda size=size: _liars(size, options.repeats))
    for size in SUGGESTED:
        results.measure(f"suggestion {size}", lambda size=size: _suggestions(size))
    results.write()
    write_tables("gaussian_process", tables(results.content))
    for name, row in results.rows.items():
        print(name, {key: value if isinstance(value, str) else float(f"{value:.4g}") for key, value in row.items()})


def tables(content):
    """The page's table in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    lines = [
        f"| points | {BATCH} liars, growing factor | {BATCH} full factors | ratio | a suggestion, refits included |"
        " Keras Tuner 1.4.8 | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in SIZES:
        liars = rows[f"liars {size}"]
        cells = [f"{size:,}", _duration(liars["growing_seconds"]), _duration(liars["full_seconds"])]
        cells.append(_short(liars["times"]))
        if size in SUGGESTED:
            row = rows[f"suggestion {size}"]
            cells += [_duration(row["ours_amortised_seconds"]), f"{_short(row['keras_tuner_seconds'])} s"]
            cells.append(_short(row["times"]))
        else:
            cells += [""] * 3
        lines.append("|" + "".join(f" {cell} |" if cell else " |" for cell in cells))
    error = rows["error after 1,000 appends"]["difference from the full factor"]
    lines += ["", f"The factor after 1,000 appends differs from the full one by {error:.1e} at most."]
    return {"table": "\n".join(lines)}


def _duration(seconds):
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{_short(1e3 * seconds)} ms"


def _short(value):
    """Two digits, or all digits before the point if these are more."""
    return f"{value:.2f}" if value < 1.0 else f"{value:.1f}" if value < 10.0 else f"{value:.0f}"


def _covariance(size, rng):
    from app.tuning.kernel import Kernel

    kernel = Kernel((False,) * 7)
    theta = np.log([1.0, *[0.8] * 7])
    points = rng.random((size, 7))
    return kernel(points, points, theta) + 1e-2 * np.eye(size)


def _error():
    from app.tuning.cholesky import GrowingCholesky

    matrix = _covariance(1001, np.random.default_rng(0))
    grown = GrowingCholesky(matrix[:1, :1])
    for n in range(1, 1001):
        grown.append(matrix[n : n + 1, :n], matrix[n : n + 1, n : n + 1])
    return {
        "difference from the full factor": float(np.abs(grown.factor - np.linalg.cholesky(matrix)).max()),
        "difference from the matrix": float(np.abs(grown.factor @ grown.factor.T - matrix).max()),
    }


def _liars(size, repeats):
    from scipy.linalg import cholesky

    from app.tuning.cholesky import GrowingCholesky

    matrix = _covariance(size + BATCH, np.random.default_rng(size))
    grown, full = [], []
    for _ in range(repeats):
        factor = GrowingCholesky(matrix[:size, :size])
        started = time.perf_counter()
        for n in range(size, size + BATCH):
            factor.append(matrix[n : n + 1, :n], matrix[n : n + 1, n : n + 1])
        grown.append(time.perf_counter() - started)
        started = time.perf_counter()
        for n in range(size, size + BATCH):
            cholesky(matrix[: n + 1, : n + 1], lower=True, check_finite=False)
        full.append(time.perf_counter() - started)
    grown, full = float(np.median(grown)), float(np.median(full))
    return {"growing_seconds": grown, "full_seconds": full, "times": full / grown}


def _suggestions(size):
    ours, theirs = _ours(size), _theirs(size)
    return {**ours, **theirs, "times": theirs["keras_tuner_seconds"] / ours["ours_amortised_seconds"]}


def _space():
    import keras_tuner as kt

    hp = kt.HyperParameters()
    for index in range(7):
        hp.Float(f"x{index}", 0.0, 1.0)
    return hp


def _value(values):
    return float(sum((values[f"x{index}"] - 0.1 * index) ** 2 for index in range(7)))


def _ours(size):
    """From `size` trials through a tenth more, the refit of the kernel among them."""
    from app.tuning.space import Space
    from app.tuning.surrogate import Observation, Surrogate

    space, rng = Space(_space()), np.random.default_rng(0)
    rows = list(space.draw(size, rng))
    surrogate = Surrogate(space)
    observations = [Observation(row, _value(space.values(row))) for row in rows]
    surrogate.propose(observations, [], {space.key(row) for row in rows}, 1, rng)
    taken, seconds = {space.key(row) for row in rows}, []
    for _ in range(max(10, size // 10)):
        started = time.perf_counter()
        row = surrogate.propose(observations, [], taken, 1, rng)[0]
        seconds.append(time.perf_counter() - started)
        taken.add(space.key(row))
        observations = [*observations, Observation(row, _value(space.values(row)))]
    # The refit at a tenth more belongs to these suggestions.
    started = time.perf_counter()
    surrogate.propose(observations, [], taken, 1, rng)
    seconds.append(time.perf_counter() - started)
    return {
        "ours_median_seconds": float(np.median(seconds)),
        "ours_amortised_seconds": float(np.mean(seconds)),
        "ours_largest_seconds": float(np.max(seconds)),
    }


def _theirs(size):
    import tempfile

    import keras_tuner as kt
    from keras_tuner.src.engine.trial import Trial

    oracle = kt.oracles.BayesianOptimizationOracle(
        kt.Objective("loss", "min"), max_trials=size + 10, hyperparameters=_space(), seed=1, num_initial_points=2
    )
    oracle._set_project_dir(tempfile.mkdtemp(), "search")
    oracle.verbose = 0
    rng = np.random.default_rng(0)
    for name in range(size):
        hp = _space()
        hp.values = {f"x{index}": float(rng.random()) for index in range(7)}
        trial = Trial(hp, str(name), "COMPLETED")
        trial.score = _value(hp.values)
        oracle.trials[str(name)] = trial
    started = time.perf_counter()
    oracle.populate_space("next")
    return {"keras_tuner_seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
