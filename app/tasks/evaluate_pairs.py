"""Task `evaluate` for transforms of any program on the pairs of a manifest."""

import dataclasses
import json
import os

import numpy as np

from app.config import config_text
from app.data.manifest import PairFiles, read_manifest
from app.errors import UserError, list_problems
from app.files import user_text, write_csv, write_json
from app.flows.cohort import list_failures, run_cohort
from app.flows.pairs_page import write_page
from app.reporting.learn2reg import submission_name
from app.reporting.paired import compare
from app.training.run_folder import RunFolder, log

FREE = ("output", "cluster", "against")
COMPARED = ("dice", "hd95_mm", "surface_dice", "tre_mm", "folding_percent", "non_diffeomorphic_percent", "sdlogj")
MOST_BYTES = 2**30


def evaluate_pairs(config, dry_run=False):
    """Measure the transforms of a manifest.

    Args:
        config: `EvaluateConfig` with `pairs`.
        dry_run: Check and print only.

    Raises:
        UserError: If the manifest or the config is wrong; at the end, if a pair could not be measured.
    """
    folder = RunFolder(config.output)
    if folder.model.is_file() or folder.checkpoint.is_file():
        raise UserError(f"{config.output}: holds a training, whose files would be overwritten; name another folder")
    folder.check(config, FREE)
    pairs = _pairs(config)
    other = _other(config.against, pairs) if config.against else None
    if dry_run:
        print(config_text(config))
        print(f"{len(pairs)} pairs would be measured into {folder.path}\ndry run: nothing was written")
        return
    folder.open(config)
    log(f"{len(pairs)} pairs of {config.pairs}")
    options = {"kind": config.kind, "tolerance_mm": config.tolerance_mm, "learn2reg": config.learn2reg}
    jobs = {pair.name: {"pair": _absolute(pair), "options": options} for pair in pairs}
    results, problems = run_cohort("app.tasks.evaluate_pairs:measure", jobs, folder, config.cluster, "measuring")
    if results:
        _write(config, folder, [pair for pair in pairs if pair.name in results], results, other)
    list_failures(problems, folder)


def measure(job):
    """Measure one pair; see `app.cluster`.

    Args:
        job: Dict of the `pair` and the `options` of `measure_pair`.

    Returns:
        Dict of `row` and `structures`.
    """
    from app.quiet import import_keras

    import_keras()
    from app.systems.registration.pair_measures import measure_pair

    measures = measure_pair(PairFiles.of_plain(job["pair"]), **job["options"])
    return {"row": measures.row, "structures": measures.structures}


def _pairs(config):
    pairs = read_manifest(config.pairs, () if config.submission else ("transforms",))
    if not config.submission:
        return pairs
    files = [config.submission / submission_name(pair) for pair in pairs]
    list_problems(
        [
            f"{file}: no such file, but {pair.name} is in the manifest; add it to the submission"
            for file, pair in zip(files, pairs, strict=True)
            if not file.is_file()
        ][:20]
    )
    return [dataclasses.replace(pair, transforms=(file,)) for file, pair in zip(files, pairs, strict=True)]


def _absolute(pair):
    """A pair as JSON, its paths absolute: a worker may be elsewhere."""
    values = pair.plain()
    for name, value in values.items():
        if name in ("moving", "fixed") or name.endswith(("_labels", "_points")):
            values[name] = value and os.path.abspath(value)
        elif name in ("transforms", "inverse"):
            values[name] = [os.path.abspath(file) for file in value]
    return values


def _other(folder, pairs):
    """Rows of another evaluation, by pair."""
    path = folder / "pairs.json"
    try:
        rows = json.loads(user_text(path, MOST_BYTES, "name the output folder of an evaluation of pairs"))["pairs"]
        rows = {row["pair"]: row for row in rows}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: no evaluation of pairs; name the output folder of one") from None
    missing = [pair.name for pair in pairs if pair.name not in rows]
    if missing:
        raise UserError(f"{path}: lacks the pair {missing[0]} and {len(missing) - 1} more; compare the same pairs")
    return rows


def _write(config, folder, pairs, results, other):
    """Tables, metrics and a page."""
    rows = [{"pair": pair.name, "moving_subject": pair.moving_subject, "fixed_subject": pair.fixed_subject}
            | results[pair.name]["row"] for pair in pairs]  # fmt: skip
    columns = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(folder.path / "pairs.csv", [{name: row.get(name, "") for name in columns} for row in rows])
    write_json(folder.path / "pairs.json", {"pairs": rows})
    structures = [{"pair": pair.name, "label": label} | values for pair in pairs
                  for label, values in results[pair.name]["structures"].items()]  # fmt: skip
    if structures:
        write_csv(folder.path / "structures.csv", structures)
    comparison = None
    if other is not None:
        names = [(row["moving_subject"], row["fixed_subject"]) for row in rows]
        ours, theirs = ({name: [row.get(name, np.nan) for row in side] for name in COMPARED}
                        for side in (rows, [other[pair.name] for pair in pairs]))  # fmt: skip
        comparison = compare(names, ours, theirs)
    metrics, path = write_page(config, folder, pairs, rows, structures, comparison)
    write_json(folder.path / "metrics.json", metrics)
    for name in ("dice", "tre_mm"):
        if name in metrics["means"]:
            before, entry = metrics["means"].get(f"{name}_before"), metrics["means"][name]
            ends = "" if entry["low"] is None else f" ({entry['low']:.3f} to {entry['high']:.3f}, 95 % over subjects)"
            log(f"mean {name} {before['mean']:.3f} before, {entry['mean']:.3f} after{ends}")
    log(f"report: {path}")
