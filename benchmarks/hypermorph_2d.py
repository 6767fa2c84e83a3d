"""The paper's experiments 1 and 2 in 2D, on a coronal slice of each brain.

    python -m benchmarks.hypermorph_2d --experiment one         lambda; 5 baselines, four seeds of each
    python -m benchmarks.hypermorph_2d --experiment two         lambda and window; 25 baselines, one seed
    python -m benchmarks.hypermorph_2d --experiment generators  our three generators, to the end, one seed

A baseline is the registration network that HyperMorph generates (section 4, "Baseline
Models"), trained at fixed hyper-parameters. Every training is a row of its own in
`results/hypermorph_2d.json`: an interrupted benchmark goes on, experiments share rows, and several
processes may share the work (`--seeds`). `KERAS_BACKEND=jax` runs it on a GPU.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from app.reporting.intervals import interval
from benchmarks.brains import DATA, mean_dice, random_pairs, split, unit, warp_labels
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LAMBDAS = [0.1, 0.3, 0.5, 0.7, 0.9]
TWO_LAMBDAS, WINDOWS = [0.1, 0.3, 0.5, 0.7, 0.9], [3, 6, 9, 12, 15]
SEEDS = [0, 1, 2, 3]
GENERATORS = ("per_channel", "low_rank", "full")
GENERATOR_LAMBDAS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
PAPER = {"one": {"dice": -0.16, "lambda": 0.04, "times": 5.2}, "two": {"dice": -0.32, "times": 10.5}, "deviation": 2.8}
STEPS = {"baseline": 1200, "one": 2200, "two": 2400}
BATCH, LEARNING_RATE = 4, 1e-3


class Slices:
    """Coronal slices: 70 subjects train, 100 pairs of the other 30 evaluate."""

    def __init__(self):
        content = np.load(DATA / "brains_ixi_2mm" / "slices_2d.npz")
        self.images, self.labels = unit(content["coronal_images"]), content["coronal_seg"]
        self.train, rest = split(len(self.images), 70)
        self.pairs = random_pairs(rest, 100)

    def batch(self, rng):
        pairs = np.stack([rng.choice(self.train, 2, replace=False) for _ in range(BATCH)])
        return {"moving": self.images[pairs[:, 0]], "fixed": self.images[pairs[:, 1]]}

    def dice(self, model, values=None):
        """Dice (of 100) of every pair, for a network at hyper-parameter values, if it has any."""
        scores = []
        for pairs in np.array_split(self.pairs, 4):
            x = {"moving": self.images[pairs[:, 0]], "fixed": self.images[pairs[:, 1]]}
            if values is not None:
                x["hyper"] = np.repeat(np.array([values], "float32"), len(pairs), axis=0)
            fields = np.asarray(model.predict_on_batch(x)["displacement"])
            scores += [
                mean_dice(self.labels[f], warp_labels(self.labels[m], u))
                for (m, f), u in zip(pairs, fields, strict=True)
            ]
        return [round(100.0 * score, 3) for score in scores]


def train(slices, model, hyper, steps, seed):
    """Train with Adam and a cosine decay; returns seconds without compilation."""
    import keras

    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps, alpha=0.02)))
    rng = np.random.default_rng(seed)
    seconds = 0.0
    model.optimizer.build(model.trainable_variables)
    for step in range(steps):
        x = slices.batch(rng)
        if hyper:
            x["hyper"] = np.stack([each.sample(rng, BATCH) for each in hyper], axis=1)
        started = time.perf_counter()
        model.train_on_batch(x)
        seconds += time.perf_counter() - started if step > 1 else 0.0
    return seconds


def baseline(slices, lam, window, seed):
    """One network at fixed hyper-parameters."""
    import keras

    from nets.registration.objective import Objective
    from nets.registration.voxelmorph import VoxelMorph

    keras.utils.set_random_seed(seed)
    model = VoxelMorph(rank=2, features="forces", objective=Objective(lambda_=lam, ncc_window=window))
    seconds = train(slices, model, [], STEPS["baseline"], seed)
    return {"seconds": seconds, "dice": slices.dice(model)}


def hypermorph(slices, points, seed, window_too=False, generator="per_channel"):
    """One HyperMorph, measured at many hyper-parameter values."""
    import keras

    from nets.registration.hyper_parameter import HyperParameter
    from nets.registration.hypermorph import HyperMorph

    keras.utils.set_random_seed(seed)
    hyper = [HyperParameter("lambda")]
    if window_too:
        hyper.append(HyperParameter("ncc_window", min(WINDOWS), max(WINDOWS), endpoints=0.1))
    model = HyperMorph(rank=2, hyper=hyper, generator=generator)
    seconds = train(slices, model, hyper, STEPS["two" if window_too else "one"], seed)
    return {
        "seconds": seconds,
        "parameters": model.count_params(),
        "points": points,
        "dice": [slices.dice(model, point) for point in points],
    }


def optimum(values, dice):
    """Value and height of the top of a curve: the parabola through its three best neighbours."""
    top = int(np.clip(np.argmax(dice), 1, len(values) - 2))
    a, b, c = np.polyfit(values[top - 1 : top + 2], dice[top - 1 : top + 2], 2)
    if a >= 0:
        return float(values[int(np.argmax(dice))]), float(max(dice))
    at = float(np.clip(-b / (2 * a), values[0], values[-1]))
    return at, float(max(np.polyval([a, b, c], at), max(dice)))


def baseline_name(lam, window, seed):
    return f"baseline lambda={lam} window={window} seed={seed}"


def hyper_name(seed):
    return f"hypermorph one seed={seed}"


def two_name(lam, window):
    return f"two {baseline_name(lam, window, 0)}"


TWO_NAME = "hypermorph two seed=0"


def measure_one(results, slices, seeds):
    """Lambda alone."""
    for seed in seeds:
        for lam in LAMBDAS:
            results.measure(baseline_name(lam, 9, seed), lambda lam=lam, seed=seed: baseline(slices, lam, 9, seed))
        results.measure(hyper_name(seed), lambda seed=seed: hypermorph(slices, [[lam] for lam in LAMBDAS], seed))


def measure_two(results, slices, seeds):
    """Lambda and window: the first seed."""
    points = [[lam, window] for lam in TWO_LAMBDAS for window in WINDOWS]
    for lam, window in points:
        name = two_name(lam, window)
        results.measure(name, lambda lam=lam, window=window: baseline(slices, lam, window, 0))
    results.measure(TWO_NAME, lambda: hypermorph(slices, points, 0, window_too=True))


def measure_generators(results, slices, seeds):
    """Each generator: the first seed."""
    points = [[lam] for lam in GENERATOR_LAMBDAS]
    for kind in GENERATORS:
        name = f"generator {kind} seed=0"
        results.measure(name, lambda kind=kind: hypermorph(slices, points, 0, generator=kind))


def summarise_one(rows):
    """Best Dice, best lambda and steps of HyperMorph and of the baselines, a seed each; intervals over subjects."""
    summary = {"seeds": SEEDS, "baselines": [], "hypermorph": [], "difference": [], "interval": [], "curves": {}}
    curves = {"baselines": [], "hypermorph": []}
    for seed in SEEDS:
        dice = {
            "baselines": [rows[baseline_name(lam, 9, seed)]["dice"] for lam in LAMBDAS],
            "hypermorph": rows[hyper_name(seed)]["dice"],
        }
        best = {}
        for kind, values in dice.items():
            means = [float(np.mean(pairs)) for pairs in values]
            lam, height = optimum(LAMBDAS, means)
            summary[kind].append({"best_dice": height, "best_lambda": lam})
            curves[kind].append(means)
            best[kind] = values[int(np.argmax(means))]
        summary["difference"].append(summary["hypermorph"][-1]["best_dice"] - summary["baselines"][-1]["best_dice"])
        summary["interval"].append(interval_of_difference(best["baselines"], best["hypermorph"]))
    summary["curves"] = {kind: np.mean(values, axis=0).tolist() for kind, values in curves.items()}
    shortfall = np.array(curves["baselines"]) - curves["hypermorph"]
    deviations = {kind: float(np.mean(np.std(values, axis=0, ddof=1))) for kind, values in curves.items()}
    return {
        **summary,
        "largest_shortfall_of_100": float(np.mean(shortfall, axis=0).max()),
        "deviation_over_seeds_of_100": deviations,
        "steps_of_baselines_for_one_of_hypermorph": len(LAMBDAS) * STEPS["baseline"] / STEPS["one"],
    }


def summarise_two(rows):
    """The same over lambda and window, the first seed."""
    points = [[lam, window] for lam in TWO_LAMBDAS for window in WINDOWS]
    dice = np.array([np.mean(rows[two_name(*point)]["dice"]) for point in points])
    hyper = np.array([np.mean(point) for point in rows[TWO_NAME]["dice"]])
    pairs = [rows[two_name(*points[int(dice.argmax())])]["dice"], rows[TWO_NAME]["dice"][int(hyper.argmax())]]
    by_window = hyper.reshape(len(TWO_LAMBDAS), len(WINDOWS)).max(axis=0)
    return {
        "best_dice": {"baselines": float(dice.max()), "hypermorph": float(hyper.max())},
        "best_point": {"baselines": points[int(dice.argmax())], "hypermorph": points[int(hyper.argmax())]},
        "difference": float(hyper.max() - dice.max()),
        "interval": interval_of_difference(*pairs),
        "largest_shortfall_of_100": float((dice - hyper).max()),
        "best_by_window": {
            "windows": WINDOWS,
            "hypermorph": by_window.tolist(),
            "baselines": dice.reshape(len(TWO_LAMBDAS), len(WINDOWS)).max(axis=0).tolist(),
        },
        "steps_of_baselines_for_one_of_hypermorph": len(points) * STEPS["baseline"] / STEPS["two"],
    }


def summarise_generators(rows):
    """Best Dice and mean Dice over lambda of each generator, the first seed."""
    summary = {}
    for kind in GENERATORS:
        row = rows[f"generator {kind} seed=0"]
        dice = [float(np.mean(pairs)) for pairs in row["dice"]]
        summary[kind] = {
            "best_dice_of_100": optimum(GENERATOR_LAMBDAS, dice)[1],
            "mean_dice_of_100": float(np.mean(dice)),
            "seconds": row["seconds"],
            "parameters": row["parameters"],
        }
    return summary


def interval_of_difference(baseline, hyper):
    """95 % interval over subjects; None for rows of November 2026, which hold means over pairs alone."""
    if not isinstance(baseline, list):
        return None
    return interval(random_pairs(split(100, 70)[1], 100).tolist(), np.subtract(hyper, baseline))


def _words(ends):
    return "pairs were not kept" if ends is None else f"95 % over subjects {ends[0]:+.2f} to {ends[1]:+.2f}"


def tables(content):
    """The page's tables in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    single, two, generators = summarise_one(rows), summarise_two(rows), summarise_generators(rows)
    apart = [
        abs(h["best_lambda"] - b["best_lambda"]) for h, b in zip(single["hypermorph"], single["baselines"], strict=True)
    ]
    deviations = single["deviation_over_seeds_of_100"]
    seeds = ", ".join(f"{value:+.2f}" for value in single["difference"])
    ends = None if None in single["interval"] else np.mean(single["interval"], axis=0)
    experiments = [
        "| | paper | here |",
        "|---|---|---|",
        f"| lambda: best Dice, HyperMorph less the best of {len(LAMBDAS)} baselines | {PAPER['one']['dice']:+.2f} | "
        f"{np.mean(single['difference']):+.2f} (seeds {seeds}; {_words(ends)}) |",
        f"| lambda: difference in the best lambda | {PAPER['one']['lambda']} | {np.mean(apart):.2f} "
        f"(seeds {', '.join(f'{value:.2f}' for value in apart)}) |",
        f"| lambda: largest shortfall at a lambda, mean of the seeds | | {single['largest_shortfall_of_100']:.2f} |",
        f"| lambda: training saved | {PAPER['one']['times']} times, GPU hours | "
        f"{single['steps_of_baselines_for_one_of_hypermorph']:.1f} times, steps |",
        f"| lambda and window, one seed: best Dice, HyperMorph less the best of 25 baselines | "
        f"{PAPER['two']['dice']:+.2f} | {two['difference']:+.2f} ({_words(two['interval'])}) |",
        f"| lambda and window, one seed: largest shortfall | | {two['largest_shortfall_of_100']:.2f} |",
        f"| lambda and window: training saved | {PAPER['two']['times']} times, GPU hours | "
        f"{two['steps_of_baselines_for_one_of_hypermorph']:.1f} times, steps |",
        f"| four seeds: deviation of Dice, baselines' over HyperMorph's | {PAPER['deviation']} times (with the mean "
        f"squared error as similarity) | {deviations['baselines'] / deviations['hypermorph']:.1f} times (local NCC; "
        f"{deviations['baselines']:.2f} against {deviations['hypermorph']:.2f}) |",
    ]
    windows = [
        f"| window | {' | '.join(map(str, WINDOWS))} |",
        "|---|" + "---:|" * len(WINDOWS),
        *(
            f"| {label} | {' | '.join(f'{value:.2f}' for value in two['best_by_window'][kind])} |"
            for label, kind in (("baselines", "baselines"), ("HyperMorph", "hypermorph"))
        ),
    ]
    kinds = [
        f"| 2D, {STEPS['one']:,} steps, Dice of 100, one seed | per channel | low rank | full |",
        "|---|---:|---:|---:|",
        *(
            f"| {label} | " + " | ".join(f"{generators[kind][key]:.2f}" for kind in GENERATORS) + " |"
            for label, key in (("best over lambda", "best_dice_of_100"), ("mean over lambda", "mean_dice_of_100"))
        ),
        "| seconds of training | " + " | ".join(f"{generators[kind]['seconds']:.0f}" for kind in GENERATORS) + " |",
        "| parameters | " + " | ".join(f"{generators[kind]['parameters']:,}" for kind in GENERATORS) + " |",
    ]
    return {name: "\n".join(lines) for name, lines in
            (("experiments", experiments), ("windows", windows), ("generators", kinds))}  # fmt: skip


def figure_path(name):
    return Path(__file__).resolve().parents[1] / "docs" / "figures" / f"{name}.png"


def draw_one(baselines, hyper):
    from app.files import whole_file
    from app.reporting.figures import BLUE, GREY, new_figure, png

    figure, axis = new_figure()
    axis.plot(LAMBDAS, baselines, "o", color=GREY, label=f"{len(LAMBDAS)} baselines, one a lambda")
    axis.plot(LAMBDAS, hyper, "-", color=BLUE, label="one HyperMorph")
    axis.set_xlabel("lambda")
    axis.set_ylabel("mean Dice (of 100)")
    axis.legend()
    with whole_file(figure_path("hypermorph_2d_one")) as temporary:
        temporary.write_bytes(png(figure))


def draw_two(baselines, hyper):
    from app.files import whole_file
    from app.reporting.figures import new_figure, png

    figure, axes = new_figure(9.0, 3.6, ncols=2, sharey=True)
    shape = len(TWO_LAMBDAS), len(WINDOWS)
    limits = {"vmin": min(baselines.min(), hyper.min()), "vmax": max(baselines.max(), hyper.max())}
    for axis, dice, title in zip(axes, (baselines, hyper), ("25 baselines", "one HyperMorph"), strict=True):
        drawn = axis.pcolormesh(WINDOWS, TWO_LAMBDAS, dice.reshape(shape), shading="nearest", **limits)
        axis.set_title(title)
        axis.set_xlabel("NCC window (voxels)")
    axes[0].set_ylabel("lambda")
    figure.colorbar(drawn, ax=axes, label="mean Dice (of 100)")
    with whole_file(figure_path("hypermorph_2d_two")) as temporary:
        temporary.write_bytes(png(figure))


MEASURES = {"one": measure_one, "two": measure_two, "generators": measure_generators}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", choices=list(MEASURES), nargs="+", default=list(MEASURES))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    results = ResultsFile("hypermorph_2d", {"steps": STEPS, "batch": BATCH, "learning_rate": LEARNING_RATE})
    for name in options.experiment:
        MEASURES[name](results, Slices(), options.seeds)
    try:
        written = tables(results.content)
    except KeyError as missing:
        return print(f"not complete yet: {missing}")
    single, two = summarise_one(results.rows), summarise_two(results.rows)
    results.write(one=single, two=two, generators=summarise_generators(results.rows))
    draw_one(single["curves"]["baselines"], single["curves"]["hypermorph"])
    dice = [np.mean(results.rows[two_name(lam, w)]["dice"]) for lam in TWO_LAMBDAS for w in WINDOWS]
    draw_two(np.array(dice), np.array([np.mean(point) for point in results.rows[TWO_NAME]["dice"]]))
    write_tables("hypermorph_2d", written)
    print("\n\n".join(written.values()))


if __name__ == "__main__":
    main()
