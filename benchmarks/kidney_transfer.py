"""The thesis' table 3.1 (kidney transfer), partial fine-tuning (figure 3.7) and the number of children.

    python -m benchmarks.kidney_transfer                 # all; goes on after an interruption, one row at a time
    python -m benchmarks.kidney_transfer --seeds 2

Simulated adults and children at the small size of `configs/kidney`. Runs are kept in `runs/kidney_transfer`; written to
`results/kidney_transfer.json`, `docs/figures/kidney_transfer.png` and the tables of `docs/results/kidney.md`.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from app.cli import DONE
from app.cli import main as command_line
from app.data.tables import csv_rows
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "kidney_transfer"
ANEW = ("source", "target", "joint")
TABLE = (*ANEW, "fine_tuning", "fixed_convolutions", "geometric", "intensity", "geometric_intensity", "gated")
CHILDREN = (5, 10, 20)
ALL_CHILDREN, BATCH = 51, 2
FEWER = ("fine_tuning", "gated")
LAYERS = (2, 6, 10, 14)
ADAPTED = tuple(name for name in TABLE if name not in ANEW)
EPOCHS = {"source": 30, "target": 60, "joint": 30}
TRANSFER_EPOCHS = 30
RATES = dict.fromkeys(("fine_tuning", "fixed_convolutions", "first_layers", "last_layers"), 1e-3)  # others: config's
ROUNDS = 7
PREFIXES = {"adults": "adult", "children": "child"}  # of the subjects' names
WITH_SHARE = ("geometric_intensity", "gated")  # the docs give what these add as a share of the weights, too
DECIDED = 0.05  # p below which a pair of strategies counts as ordered
THESIS = {  # what its table 3.1 says of adults and children
    "source": (0.80, 0.61), "target": (0.57, 0.66), "joint": (0.81, 0.74), "fine_tuning": (0.72, 0.72),
    "fixed_convolutions": (0.71, 0.72), "geometric": (0.73, 0.67), "intensity": (0.80, 0.65),
    "geometric_intensity": (0.74, 0.73),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    settings = {"epochs": EPOCHS, "transfer_epochs": TRANSFER_EPOCHS, "rates": {**RATES, "added": 2e-3}}
    results = ResultsFile("kidney_transfer", settings)
    for seed in range(options.seeds):
        for strategy in TABLE:
            results.measure(f"{strategy} / {seed}", lambda strategy=strategy, seed=seed: _run(strategy, seed))
    for which in ("first_layers", "last_layers"):
        for layers in LAYERS:
            more = {"layers": layers}
            results.measure(f"{which} {layers} / 0", lambda which=which, more=more: _run(which, 0, **more))
    for strategy in FEWER:
        for count in CHILDREN:
            # As many steps as with all children.
            epochs = round(TRANSFER_EPOCHS * (ALL_CHILDREN // BATCH) / (count // BATCH))
            more = {"data.target_examples": count, "training.epochs": epochs}
            row = f"{strategy}, {count} children / 0"
            results.measure(row, lambda strategy=strategy, more=more: _run(strategy, 0, **more))
    for network in ("small", "thesis"):
        results.measure(f"epochs / {network}", lambda network=network: _epochs(network))
    results.write(table=_table(results.rows, options.seeds))
    write_tables("kidney_transfer", tables(results.content))
    for name, row in results.content["summary"]["table"].items():
        print(name, row)
    _picture(results.rows, options.seeds)


def _run(strategy, seed, **changes):
    name = "-".join([strategy, str(seed), *(f"{key.split('.')[-1]}{value}" for key, value in changes.items())])
    output = RUNS / name
    anew = strategy in ANEW
    config = ROOT / "configs" / "kidney" / ("source.yaml" if anew else "transfer.yaml")
    epochs = EPOCHS[strategy] if anew else TRANSFER_EPOCHS
    settings = {"strategy": strategy, "seed": seed, "output": output, "training.epochs": epochs, **changes}
    if not anew:
        settings["source"] = RUNS / f"source-{seed}"
        if strategy in RATES:
            settings["training.learning_rate"] = RATES[strategy]
    settings["data.phantom"] = None
    settings["data.cohort"] = _cohort()
    words = ["kidney", "train" if anew else "transfer", "--config", str(config)]
    for key, value in settings.items():
        words += ["--set", f"{key}={'null' if value is None else value}"]
    if command_line(words) != DONE:
        raise SystemExit(f"{output}: failed")
    import keras

    keras.backend.clear_session()
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    dice = {}
    for row in csv_rows(output / "volumes.csv", ("subject", "dice")):
        dice[row["subject"]] = round(float(row["dice"]), 4)
    return {
        "adults": metrics["source"]["dice"], "children": metrics["target"]["dice"],
        "parameters": metrics["parameters"], "added": metrics["added_parameters"], "figures": {
            name: metrics[name] for name in ("source", "target")}, "dice": dice,
    }  # fmt: skip


def _epochs(network):
    """Seconds of an epoch on the children for each strategy, in turns: the median of several rounds.

    With the thesis' network (16 million weights) a step on two volumes stands for the epoch.
    """
    import keras

    from app.systems.masks.batches import CubeBatches
    from app.systems.masks.cohort import load_cases, read_cases, split_cases
    from app.systems.masks.config import SegmentationNetworkConfig
    from app.training.optimizer import adam
    from nets.losses.dice import SegmentationLoss
    from nets.segmentation_unet import SegmentationUNet
    from transfer.strategies import start
    from transfer.strategy import STRATEGIES

    config = _config("transfer.yaml")
    data = config.data
    train = split_cases(read_cases(_cohort()), data.split, 0)["train"]
    children = load_cases([case for case in train if case.population == "target"], data)
    settings = SegmentationNetworkConfig() if network == "thesis" else _config("source.yaml").network
    source = SegmentationUNet(**settings.model_dump())
    batches = CubeBatches(children, config.training.batch_size, 0, config.augmentation)
    if network == "thesis":
        pair = batches[0]
    seconds = {}
    models = {}
    for strategy in ADAPTED:
        models[strategy] = start(STRATEGIES[strategy], source)
        models[strategy].compile(adam(config.training, len(batches)), SegmentationLoss(), jit_compile=False)
    for turn in range(ROUNDS + 1):
        for strategy, model in models.items():
            began = time.perf_counter()
            model.train_on_batch(*pair) if network == "thesis" else model.fit(batches, verbose=0)
            if turn:  # the first one compiles
                seconds.setdefault(strategy, []).append(time.perf_counter() - began)
    medians = {strategy: round(float(np.median(own)), 3) for strategy, own in seconds.items()}
    keras.backend.clear_session()
    return {**medians, "fine_tuning_over_gated": round(medians["fine_tuning"] / medians["gated"], 2)}


def _config(name):
    from app.config import load_config
    from app.systems.kidney.config import KidneyConfig

    return load_config(KidneyConfig, ROOT / "configs" / "kidney" / name)


def _cohort():
    from app.data.phantoms.kidneys import write_kidneys

    return write_kidneys(RUNS / "phantoms", _config("source.yaml").data.phantom)


def _table(rows, seeds):
    """Mean and spread over seeds; Wilcoxon's test of all test volumes against fine-tuning, for each population."""
    table = {}
    for strategy in TABLE:
        own = [rows[f"{strategy} / {seed}"] for seed in range(seeds)]
        table[strategy] = {
            name: [
                round(float(np.mean([row[name] for row in own])), 4),
                round(float(np.std([row[name] for row in own])), 4),
            ]
            for name in ("adults", "children")
        }
        table[strategy]["seconds_an_epoch"] = rows["epochs / small"].get(strategy)
        table[strategy]["added"] = own[0]["added"]
        table[strategy]["added_share"] = own[0]["added"] / own[0]["parameters"]
        table[strategy]["thesis"] = THESIS.get(strategy)
        for population in PREFIXES:
            gain, p = _gain(rows, seeds, population, strategy, "fine_tuning")
            table[strategy][f"{population}_gain_over_fine_tuning"] = [round(gain, 4), p]
    return table


def _gain(rows, seeds, population, strategy, other):
    """Mean difference of two strategies' Dice, and Wilcoxon's p; None where no subject differs.

    A subject that several seeds test counts once, by its mean.
    """
    gains = {}
    for seed in range(seeds):
        before, after = (rows[f"{name} / {seed}"]["dice"] for name in (other, strategy))
        for subject in before:
            if subject.startswith(PREFIXES[population]):
                gains.setdefault(subject, []).append(after[subject] - before[subject])
    means = [float(np.mean(values)) for values in gains.values()]
    return float(np.mean(means)), float(wilcoxon(means).pvalue) if np.any(means) else None


def tables(content):
    """The tables of `docs/results/kidney.md` on simulated kidneys.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    seeds = sum(name.startswith(f"{TABLE[-1]} / ") for name in rows)  # it is the last to be measured under a seed
    return {"strategies": _strategies(rows, seeds, content["settings"]), "order": _order(rows, seeds)}


def _strategies(rows, seeds, settings):
    epochs, transfer_epochs = settings["epochs"], settings["transfer_epochs"]
    notes = {
        "source": f" ({epochs['source']} epochs)",
        "target": f" ({epochs['target']} epochs on {ALL_CHILDREN} children)",
        "joint": f" ({epochs['joint']} epochs)",
        "fine_tuning": f" ({transfer_epochs} epochs on {ALL_CHILDREN} children, as below)",
    }
    lines = ["| | adults | children | added weights | s per epoch | thesis |", "|---|---:|---:|---:|---:|---:|"]
    for strategy in TABLE:
        own = [rows[f"{strategy} / {seed}"] for seed in range(seeds)]
        cells = [f"`{strategy}`{notes.get(strategy, '')}"]
        for population in PREFIXES:
            dice = [row[population] for row in own]
            cells.append(f"{np.mean(dice):.3f} ± {np.std(dice):.3f}")
        added = own[0]["added"]
        share = f" ({100 * added / own[0]['parameters']:.1f} %)" if strategy in WITH_SHARE else ""
        seconds = rows["epochs / small"].get(strategy)
        cells += [f"{added:,}{share}" if added else "", "" if seconds is None else f"{seconds:.1f}"]
        cells.append(" / ".join(f"{dice:.2f}" for dice in THESIS.get(strategy, ())))
        lines.append(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|")
    return "\n".join(lines)


def _order(rows, seeds):
    """Which pairs of strategies that the thesis' table orders are not so ordered here, or not decided."""
    pairs = []
    for index, population in enumerate(PREFIXES):
        for above, below in itertools.permutations(THESIS, 2):
            theirs = THESIS[above][index], THESIS[below][index]
            if theirs[0] > theirs[1]:
                pairs.append((population, above, below, theirs, *_gain(rows, seeds, population, above, below)))
    pairs.sort(key=lambda pair: pair[4])
    contrary = [pair for pair in pairs if pair[4] <= 0]
    undecided = [pair for pair in pairs if pair[4] > 0 and pair[5] >= DECIDED]
    others = len(pairs) - len(contrary) - len(undecided)
    lines = [
        f"Of the {len(pairs)} pairs that the thesis' table orders, {len(contrary)} are the other way round here. "
        f"{len(undecided)} lie as in the thesis,",
        f"but with p of {DECIDED} or more. The other {others} lie as in the thesis, with a smaller p.",
        "",
        "| Dice of | the thesis has | above | thesis | difference here | p |",
        "|---|---|---|---:|---:|---:|",
    ]
    for population, above, below, theirs, gain, p in contrary + undecided:
        dice = " / ".join(f"{value:.2f}" for value in theirs)
        chance = f"{p:.2f}" if p >= 0.01 else f"{p:.0e}"
        lines.append(f"| {population} | `{above}` | `{below}` | {dice} | {gain:+.4f} | {chance} |")
    return "\n".join(lines)


def _picture(rows, seeds):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for strategy in TABLE:
        own = [rows[f"{strategy} / {seed}"] for seed in range(seeds)]
        x, y = (np.array([row[name] for row in own]) for name in ("adults", "children"))
        left.errorbar(x.mean(), y.mean(), xerr=x.std(), yerr=y.std(), fmt="o", label=strategy.replace("_", " "))
    left.set(xlabel="Dice, adults", ylabel="Dice, children", title=f"Mean and spread over {seeds} seeds")
    left.legend(fontsize=8)
    for which in ("first_layers", "last_layers"):
        middle.plot(
            LAYERS, [rows[f"{which} {count} / 0"]["children"] for count in LAYERS], "o-", label=which.replace("_", " ")
        )
    middle.set(xlabel="convolutions fine-tuned", ylabel="Dice, children", title="Partial fine-tuning")
    middle.legend()
    for strategy in FEWER:
        own = [rows[f"{strategy}, {count} children / 0"] for count in CHILDREN] + [rows[f"{strategy} / 0"]]
        right.plot([*CHILDREN, ALL_CHILDREN], [row["children"] for row in own], "o-", label=strategy.replace("_", " "))
        right.plot([*CHILDREN, ALL_CHILDREN], [row["adults"] for row in own], "x:", color=right.lines[-1].get_color())
    right.set(xlabel="children trained on", ylabel="Dice", title="Children (line), adults (dotted)", xscale="log")
    counts = [*CHILDREN, ALL_CHILDREN]
    right.set_xticks(counts, list(map(str, counts)))
    right.minorticks_off()
    right.legend()
    path = ROOT / "docs" / "figures" / "kidney_transfer.png"
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
