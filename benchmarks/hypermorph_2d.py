"""The paper's experiments 1 and 2 in 2D, on a coronal slice of each brain.

    python -m benchmarks.hypermorph_2d --experiment one             lambda; 11 baselines
    python -m benchmarks.hypermorph_2d --experiment two             lambda and window; 25 baselines
    python -m benchmarks.hypermorph_2d --experiment initialisation  four initialisations of each
    python -m benchmarks.hypermorph_2d --experiment generators      our three generators, to the end

A baseline is the registration network that HyperMorph generates (section 4, "Baseline
Models"), trained at fixed hyper-parameters. Every training is a row of its own in
`results/hypermorph_2d.json`: an interrupted benchmark goes on, and experiments share rows.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.brains import DATA, mean_dice, random_pairs, split, unit, warp_labels
from benchmarks.results_file import ResultsFile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LAMBDAS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
TWO_LAMBDAS, WINDOWS = [0.1, 0.3, 0.5, 0.7, 0.9], [3, 6, 9, 12, 15]
SEEDS, SEED_LAMBDAS = [0, 1, 2, 3], [0.1, 0.3, 0.5, 0.7, 0.9]
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
        """Mean Dice (of 100) over the pairs, for a network at hyper-parameter values, if it has any."""
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
        return 100.0 * float(np.mean(scores))


def train(slices, model, hyper, steps, seed):
    """Train with Adam and a cosine decay; returns seconds without compilation."""
    import keras

    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps, alpha=0.02)))
    rng = np.random.default_rng(seed)
    seconds = 0.0
    for step in range(steps):
        x = slices.batch(rng)
        if hyper:
            x["hyper"] = np.stack([one.sample(rng, BATCH) for one in hyper], axis=1)
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


def row_name(lam, window, seed):
    return f"baseline lambda={lam} window={window} seed={seed}"


def experiment_one(results, slices):
    """Lambda alone: difference in best Dice and best lambda, seconds saved."""
    rows = [results.measure(row_name(lam, 9, 0), lambda lam=lam: baseline(slices, lam, 9, 0)) for lam in LAMBDAS]
    points = [[lam] for lam in LAMBDAS]
    hyper = results.measure("hypermorph one seed=0", lambda: hypermorph(slices, points, 0))
    dice = [row["dice"] for row in rows]
    (lam_b, best_b), (lam_h, best_h) = optimum(LAMBDAS, dice), optimum(LAMBDAS, hyper["dice"])
    draw_one(dice, hyper["dice"])
    return {
        "best_dice": {"baselines": best_b, "hypermorph": best_h},
        "difference_in_best_dice_of_100": best_b - best_h,
        "difference_in_best_lambda": abs(lam_b - lam_h),
        "best_lambda": {"baselines": lam_b, "hypermorph": lam_h},
        "largest_shortfall_of_100": max(b - h for b, h in zip(dice, hyper["dice"], strict=True)),
        "training_seconds_saved_times": sum(row["seconds"] for row in rows) / hyper["seconds"],
        "paper": {"dice": 0.16, "lambda": 0.04, "times": 5.2},
    }


def experiment_two(results, slices):
    """Lambda and window: difference in best Dice, seconds saved."""
    points = [[lam, window] for lam in TWO_LAMBDAS for window in WINDOWS]
    rows = [
        results.measure(row_name(lam, window, 0), lambda lam=lam, window=window: baseline(slices, lam, window, 0))
        for lam, window in points
    ]
    hyper = results.measure("hypermorph two seed=0", lambda: hypermorph(slices, points, 0, window_too=True))
    dice = np.array([row["dice"] for row in rows])
    draw_two(dice, np.array(hyper["dice"]))
    return {
        "best_dice": {"baselines": float(dice.max()), "hypermorph": max(hyper["dice"])},
        "difference_in_best_dice_of_100": float(dice.max()) - max(hyper["dice"]),
        "best_point": {
            "baselines": points[int(dice.argmax())],
            "hypermorph": points[int(np.argmax(hyper["dice"]))],
        },
        "largest_shortfall_of_100": float((dice - hyper["dice"]).max()),
        "training_seconds_saved_times": sum(row["seconds"] for row in rows) / hyper["seconds"],
        "paper": {"dice": 0.32, "times": 10.5},
    }


def experiment_initialisation(results, slices):
    """Deviation of Dice over four initialisations, averaged over lambda."""
    points = [[lam] for lam in LAMBDAS]
    hyper = [
        results.measure(f"hypermorph one seed={seed}", lambda seed=seed: hypermorph(slices, points, seed))
        for seed in SEEDS
    ]
    places = [LAMBDAS.index(lam) for lam in SEED_LAMBDAS]
    ours = np.array([[row["dice"][place] for place in places] for row in hyper])
    theirs = np.array(
        [
            [
                results.measure(row_name(lam, 9, seed), lambda lam=lam, seed=seed: baseline(slices, lam, 9, seed))[
                    "dice"
                ]
                for lam in SEED_LAMBDAS
            ]
            for seed in SEEDS
        ]
    )
    deviations = [float(np.mean(dice.std(axis=0, ddof=1))) for dice in (ours, theirs)]
    return {
        "sd_hypermorph_of_100": deviations[0],
        "sd_baselines_of_100": deviations[1],
        "times_smaller": deviations[1] / deviations[0],
        "lambdas": SEED_LAMBDAS,
        "paper": {"times": 2.8},
    }


def experiment_generators(results, slices):
    """Best Dice, mean Dice over lambda, seconds and size of each generator."""
    points = [[lam] for lam in LAMBDAS]
    summary = {}
    for generator in ("per_channel", "low_rank", "full"):
        name = "hypermorph one seed=0" + ("" if generator == "per_channel" else f" generator={generator}")
        row = results.measure(name, lambda generator=generator: hypermorph(slices, points, 0, generator=generator))
        summary[generator] = {
            "best_dice_of_100": optimum(LAMBDAS, row["dice"])[1],
            "mean_dice_of_100": float(np.mean(row["dice"])),
            "seconds": row["seconds"],
            "parameters": row["parameters"],
        }
    return summary


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


EXPERIMENTS = {
    "one": experiment_one,
    "two": experiment_two,
    "initialisation": experiment_initialisation,
    "generators": experiment_generators,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", choices=list(EXPERIMENTS), default="one")
    options = parser.parse_args()
    results = ResultsFile("hypermorph_2d", {"steps": STEPS, "batch": BATCH, "learning_rate": LEARNING_RATE})
    summary = EXPERIMENTS[options.experiment](results, Slices())
    results.write(**{**results.content.get("summary", {}), options.experiment: summary})
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
