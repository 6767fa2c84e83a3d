"""The thesis' field of view (tables 2.6 and 2.8) on simulated bodies, and a look at real slices.

    python -m benchmarks.field_of_view          # goes on after an interruption

The baseline and the tuned network side by side on held-out subjects, and the latter trained twice as long; the
decision over volumes against the thesis' own; a model trained on simulated bodies and real slices on real held-out
subjects, as found. Runs are kept in `runs/field_of_view_*`; written to `results/field_of_view.json`, the tables to
`docs/results/fov.md`.
"""

import argparse
import datetime
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from app.systems.fov.axial import AxialStack
from app.systems.fov.cohort import Examination, LabelledStack, load_examinations, read_examinations, split_examinations
from app.systems.fov.config import FovConfig
from app.systems.fov.metrics import summarise_volumes, volume_row
from app.systems.fov.regions import CLASSES
from app.systems.system import Cohort
from app.training.run_folder import RunFolder
from benchmarks.brains import DATA
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile
from benchmarks.thesis_decision import thesis_decision

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs"
FULL = {"training.epochs": 24, "training.slices": 6400, "training.decay": True}
NETWORKS = {
    "baseline": "the thesis' baseline",
    "tuned": "tuned",
    "tuned_longer": "tuned, trained twice as long",
}
KINDS = {"partial": "partial fields of view", "whole body": "whole bodies", "spine": "spines"}
ABSENT = "not given"
# The thesis' text and tables 2.5, 2.6 and 2.8.
THESIS = ["thesis (1,797 real volumes): baseline, tuned", "14 %, 10 %", *[ABSENT] * 4, ""]


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    results = ResultsFile("field_of_view", {"full": FULL})
    results.measure("search", _search)
    results.measure("baseline", lambda: _trained("baseline", ROOT / "configs" / "fov" / "baseline.yaml"))
    results.measure("tuned", lambda: _trained("tuned", RUNS / "field_of_view_search" / "best.yaml"))
    longer = {"training.epochs": 2 * FULL["training.epochs"]}
    tuned = RUNS / "field_of_view_search" / "best.yaml"
    results.measure("tuned_longer", lambda: _trained("tuned_longer", tuned, **longer))
    for name in NETWORKS:
        results.measure(f"{name}, decisions", lambda name=name: _decisions(name))
    results.measure("real slices", _real)
    results.write()
    write_tables("field_of_view", tables(results.content))
    for name, row in results.rows.items():
        print(name, {key: value for key, value in row.items() if not key.startswith("confusion")})


def tables(content):
    """The page's tables in Markdown.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    return {
        "networks": _networks(rows),
        "kinds": _kinds(rows),
        "decisions": _schemes(rows),
        "real": _real_regions(rows["real slices"]["subjects"].values()),
    }


def _networks(rows):
    columns = "slices wrong", "after the decision", "non-neighbours", "boundary, median", "regions right", "training"
    lines = []
    for name, label in NETWORKS.items():
        row = rows[name]
        wrong = [_percent(row["raw_error"]), _percent(row["decided_error"]), str(row["non_neighbours"])]
        regions = [f"{row['boundary_mm_median']:.1f} mm", f"{100 * row['regions_right']:.0f} %"]
        lines.append([label, *wrong, *regions, f"{row['training_seconds'] / 60:.0f} min"])
    return _markdown(columns, [*lines, THESIS])


def _kinds(rows):
    columns = "volumes", "slices wrong after the decision", "regions right", "boundaries within their 90 % intervals"
    kinds = rows["tuned_longer, decisions"]["by_kind"]
    lines = []
    for label, row in [*((label, kinds[kind]) for kind, label in KINDS.items()), ("all", rows["tuned_longer"])]:
        held = f"{100 * row['interval_90_holds']:.0f} % of {row['boundaries']}" if row["boundaries"] else ""
        regions = f"{100 * row['regions_right']:.0f} %"
        lines.append([label, str(row["volumes"]), _percent(row["decided_error"]), regions, held])
    return _markdown(columns, lines)


def _schemes(rows):
    columns = "slices", "wrong, exact decision", "wrong, the thesis' scheme", "exact decision, median time a volume"
    lines = []
    for name, label in NETWORKS.items():
        wrong = wrong_without_air(rows, name)
        counts = wrong["ours"], wrong["thesis_scheme"]
        shares = [f"{count} ({_percent(count / wrong['slices'])})" for count in counts]
        milliseconds = f"{1e3 * rows[f'{name}, decisions']['decision_seconds_median']:.1f} ms"
        lines.append([label, f"{wrong['slices']:,}", *shares, milliseconds])
    return _markdown(columns, lines)


def wrong_without_air(rows, name):
    """Wrong slices of the bodies' volumes, slices of air left out: the thesis' scheme has no class for them.

    Args:
        rows: Of the results file.
        name: Network.

    Returns:
        Dict of `slices`, and of those wrong: `ours`, `thesis_scheme`.
    """
    decisions = rows[f"{name}, decisions"]
    if "wrong_without_air" in decisions:
        return decisions["wrong_without_air"]
    # Rows of before it was counted: every slice of air is in a body's volume, and wrong by the thesis' scheme.
    confusion, kinds = rows[name]["confusion_decided"], decisions["by_kind"]
    if sum(confusion["spine"]) != kinds["spine"]["slices"]:
        raise ValueError(f"{name}: examinations of the spine show air; the row has to be measured anew")
    bodies = kinds["partial"]["slices"] + kinds["whole body"]["slices"]
    air = sum(confusion["none"])
    return {
        "slices": bodies - air,
        "ours": round(decisions["bodies_wrong"] * bodies) - sum(confusion["none"][1:]),
        "thesis_scheme": round(decisions["bodies_wrong_thesis_scheme"] * bodies) - air,
    }


def _real_regions(subjects):
    right, slices = {}, {}
    for row in subjects:
        right[row["true"]] = right.get(row["true"], 0) + row["found"].get(row["true"], 0)
        slices[row["true"]] = slices.get(row["true"], 0) + sum(row["found"].values())
    right["all"], slices["all"] = sum(right.values()), sum(slices.values())
    columns = *CLASSES[1:], "all"
    return _markdown(columns, [["right", *(f"{right[region]} of {slices[region]}" for region in columns)]])


def _percent(share):
    return f"{100 * share:.1f} %"


def _markdown(columns, lines):
    head = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    return "\n".join([*head, *("|" + "".join(f" {cell} |" if cell else " |" for cell in cells) for cells in lines)])


def _search():
    output = RUNS / "field_of_view_search"
    _main("tune", "--config", "configs/tune/fov.yaml", "--workers", "2", "--set", f"output={output}")
    lines = (output / "log.txt").read_text(encoding="utf-8").splitlines()
    first, last = (datetime.datetime.fromisoformat(lines[place][:19]) for place in (0, -1))  # interruptions included
    return {
        **json.loads((output / "metrics.json").read_text(encoding="utf-8")),
        "wall_seconds": (last - first).total_seconds(),
        "best": yaml.safe_load((output / "best.yaml").read_text(encoding="utf-8"))["network"],
    }


def _trained(name, config, **changes):
    output = RUNS / f"field_of_view_{name}"
    changes = {"output": output, **FULL, **changes}
    _main("fov", "--config", config, *itertools.chain(*(("--set", f"{k}={v}") for k, v in changes.items())))
    history = RunFolder(output).read_history()
    return {
        **json.loads((output / "metrics.json").read_text(encoding="utf-8")),
        "training_seconds": sum(r["seconds"] for r in history),
    }


def _main(*words):
    subprocess.run([sys.executable, "main.py", *map(str, words)], cwd=ROOT, check=True)


def _decisions(name):
    """Ours and the thesis' on the same probabilities: slices wrong, objective, time; by kind of examination."""
    from app.systems.opened import open_run

    run = open_run(RUNS / f"field_of_view_{name}")
    config = run.config()
    predictor, contract = run.predictor(config), run.contract
    cohort = run.folder.path / "phantoms" / "cohort.csv"
    test = split_examinations(read_examinations(cohort), config.data.split, config.seed)["test"]
    stacks = load_examinations(test, contract.size, contract.context, contract.intensity)
    kinds, theirs_wrong, ours_wrong, total, seconds = {}, 0, 0, 0, []
    without_air = {"slices": 0, "ours": 0, "thesis_scheme": 0}
    for labelled in stacks:
        logits = predictor.logits(labelled.slices)
        probabilities = contract.decision.probabilities(logits)
        started = time.perf_counter()
        decided = contract.decision(logits, labelled.stack.spacing_mm)
        seconds.append(time.perf_counter() - started)
        slices = contract.decision.slices(decided)
        regions = set(labelled.classes)
        kind = "spine" if 6 in regions else "whole body" if len(regions - {0}) == 5 else "partial"
        kinds.setdefault(kind, []).append(volume_row(labelled, probabilities.argmax(axis=1), decided, slices))
        if kind != "spine":  # the thesis' scheme knows bodies only
            _, segments = thesis_decision(probabilities[:, 1:-1])
            theirs = np.concatenate([np.full(part.stop - part.start, part.label + 1) for part in segments])
            theirs_wrong += int(np.sum(theirs != labelled.classes))
            ours_wrong += int(np.sum(slices != labelled.classes))
            total += len(slices)
            shown = labelled.classes > 0  # the thesis' scheme has no class for air
            without_air["slices"] += int(np.sum(shown))
            without_air["ours"] += int(np.sum((slices != labelled.classes) & shown))
            without_air["thesis_scheme"] += int(np.sum((theirs != labelled.classes) & shown))
    return {
        "by_kind": {kind: summarise_volumes(rows) for kind, rows in kinds.items()},
        "bodies_wrong": ours_wrong / total,
        "bodies_wrong_thesis_scheme": theirs_wrong / total,
        "wrong_without_air": without_air,
        "decision_seconds_median": float(np.median(seconds)),
    }


def _real():
    """Trained on simulated bodies and real training subjects, run on real held-out ones: as found.

    Region and source are confounded, and chest and legs come from one subject each: those two are in training
    with the first half of their slices only, and prove nothing.
    """
    import keras

    from app.systems.fov.network import FovSteps, logits_of

    source = RunFolder(RUNS / "field_of_view_tuned")
    config = FovConfig.model_validate(yaml.safe_load((source.path / "config.yaml").read_text(encoding="utf-8")))
    config = config.model_copy(update={"data": config.data.model_copy(update={"context": 0})})
    parts = split_examinations(read_examinations(source.path / "phantoms" / "cohort.csv"), config.data.split, 0)
    simulated = {
        name: load_examinations(parts[name], config.data.size, 0, config.data) for name in ("train", "validate")
    }
    train, held_out = _real_stacks(config.data.size)
    keras.utils.set_random_seed(0)
    steps = FovSteps(config, Cohort(parts, {**simulated, "train": simulated["train"] + 4 * train}, ""))
    model = steps.build(config)
    steps.compile(config, model)
    model.fit(steps.batches(config), epochs=config.training.epochs, shuffle=False, verbose=0)
    rows = {}
    for labelled in held_out:
        found = logits_of(model, labelled.slices).argmax(axis=1)
        names = [CLASSES[index] for index in found]
        rows[f"{labelled.examination.subject}, {CLASSES[labelled.classes[0]]}"] = {
            "true": CLASSES[labelled.classes[0]],
            "found": {name: names.count(name) for name in dict.fromkeys(names)},
        }
    right = sum(row["found"].get(row["true"], 0) for row in rows.values())
    slices = sum(sum(row["found"].values()) for row in rows.values())
    return {"subjects": rows, "slices": slices, "slices_wrong": 1 - right / slices}


def _real_stacks(size):
    from app.systems.fov.axial import resized

    data = np.load(DATA / "body_region" / "region_slices_96.npz")
    train, held_out = [], []
    rng = np.random.default_rng(0)
    several = set()  # of a region with more than one subject, half of these are held out, with all their regions
    for region in CLASSES[1:]:
        subjects = sorted(set(data["subject"][data["region"] == region]) - several)
        several |= set(rng.permutation(subjects)[len(subjects) // 2 :]) if len(subjects) > 1 else set()
    for region in CLASSES[1:]:
        order = sorted(set(data["subject"][data["region"] == region]))
        for subject in order:
            chosen = np.flatnonzero((data["region"] == region) & (data["subject"] == subject))
            chosen = chosen[np.argsort(data["slice_index"][chosen], kind="stable")]
            stored = data["images"][chosen].transpose(1, 2, 0) / 255.0  # to the right, to the front
            pictures = resized(stored, size)
            stack = AxialStack(pictures, np.arange(len(chosen)) * 5.0, 5.0, np.arange(len(chosen)), 2, "RAS", [])
            classes = np.full(len(chosen), CLASSES.index(region))
            slices = np.round(pictures * 255).astype("uint8")[..., None]
            whole = LabelledStack(Examination(subject, Path(subject), region, Path()), stack, slices, classes)
            if len(order) == 1:
                half = len(chosen) // 2
                first, second = (
                    LabelledStack(whole.examination, stack, slices[part], classes[part])
                    for part in (slice(0, half), slice(half, None))
                )
                train.append(first)
                held_out.append(second)
            else:
                (held_out if subject in several else train).append(whole)
    return train, held_out


if __name__ == "__main__":
    main()
