"""Task `register` for the pairs of a manifest."""

import functools
import json
import os
from pathlib import Path

from app.config import check_values, config_text
from app.data.manifest import read_manifest
from app.errors import UserError, list_problems
from app.files import write_csv, write_json
from app.flows.cohort import list_failures, run_cohort
from app.notes import said
from app.reporting.html import Report
from app.reporting.learn2reg import submission_name
from app.systems.registration.names import result_names
from app.tasks.register_config import RegisterConfig
from app.tasks.register_pair import open_model, register_pair
from app.training.run_folder import RunFolder, log
from app.training.run_lock import release_folders
from app.transforms.fields import read_field, write_field

FREE = ("output", "cluster")  # keys that may differ between a command and the one that resumes it
SHOWN = ("mean_dice_before", "mean_dice_after_affine", "mean_dice", "ncc_before", "ncc_after", "folding_percent",
         "sdlogj", "seconds_with_preparation")  # fmt: skip


def register_pairs(config, dry_run=False):
    """Register all pairs of a manifest.

    `pairs/NAME/` has what `register` writes of one pair, but for figures and page; `pairs.csv` is a manifest of the
    results, with their transforms, for `evaluate` and `apply`; `metrics.json` and `report.html` sum them up.

    Args:
        config: `RegisterConfig` with `pairs`.
        dry_run: Check and print only.

    Raises:
        UserError: If the manifest or the config is wrong; at the end, if a pair could not be registered.
    """
    folder = RunFolder(config.output)
    folder.check(config, FREE)
    pairs = read_manifest(config.pairs)
    if (trained := open_model(config)) is not None:
        trained.contract.hyper_vector(config.hyper)  # a wrong name or value is wrong for all
    jobs = {pair.name: _job(config, pair, folder) for pair in pairs}
    if config.names == "learn2reg":
        list_problems([problem for pair in pairs for problem in _unfit(pair)][:20])
    elif config.names == "bids":
        for pair in pairs:
            result_names(_pair_config(config, pair, folder))
    if dry_run:
        print(config_text(config))
        print(f"{len(pairs)} pairs would be registered into {folder.path}\ndry run: nothing was written")
        return
    folder.open(config)
    log(f"{len(pairs)} pairs of {config.pairs}")
    results, problems = run_cohort("app.tasks.register_pairs:register_job", jobs, folder, config.cluster, "registering")
    if results:
        _write(config, folder, [pair for pair in pairs if pair.name in results], results, problems)
    list_failures(problems, folder)


def register_job(job):
    """Register one pair of a manifest; see `app.cluster`.

    Args:
        job: Dict: a `RegisterConfig` as JSON.

    Returns:
        Dict of the numbers of its `metrics.json`.

    Raises:
        UserError: As `register_pair`.
    """
    config = check_values(RegisterConfig, job, "pair")
    opened = _network(config.model, config.precision) if config.model else None
    try:
        register_pair(config, page=False, opened=opened)
    finally:
        release_folders()
    metrics = json.loads((config.output / "metrics.json").read_text(encoding="utf-8"))
    return {name: metrics[name] for name in SHOWN if metrics.get(name) is not None}


@functools.lru_cache(maxsize=1)  # all pairs of a manifest have one model
def _network(model, precision):
    from app.quiet import import_keras

    import_keras()
    trained = open_model(RegisterConfig(moving=model, fixed=model, model=model))
    return trained, trained.predictor(trained.config(), precision)


def _pair_config(config, pair, folder):
    return check_values(RegisterConfig, _job(config, pair, folder), pair.name)


def _job(config, pair, folder):
    """The config of one pair, as JSON holds it."""
    values = config.model_dump(mode="json", by_alias=True)
    names = "bids" if config.names == "bids" else "plain"
    values |= {"pairs": None, "cluster": {}, "names": names, "output": str(folder.path / "pairs" / pair.name)}
    for name in ("moving", "fixed", "moving_labels", "fixed_labels"):
        path = getattr(pair, name)
        values[name] = None if path is None else os.path.abspath(path)
    return values


def _unfit(pair):
    """What keeps a pair's displacement from being submitted."""
    try:
        submission_name(pair)
    except UserError as error:
        return error.problems
    return []


def _write_submission(folder, pairs, files):
    """Displacements in voxels, by the names of the challenge."""
    for pair in pairs:
        field = read_field(folder.path / files[pair.name])
        write_field(folder.path / "submission" / submission_name(pair), field, "voxel")
    log(f"submission: {folder.path / 'submission'}")


def _write(config, folder, pairs, results, problems):
    """Manifest of the results, their means, a page."""
    rows = []
    for pair in pairs:
        own = Path("pairs") / pair.name
        names = result_names(_pair_config(config, pair, folder))
        files = pair.plain() | {"transforms": str(own / names["displacement"])}
        for name in ("moving", "fixed", "moving_labels", "fixed_labels", "moving_points", "fixed_points"):
            files[name] = "" if files[name] is None else os.path.relpath(files[name], folder.path)
        files |= {"pair": files.pop("name"), "seconds": ""}
        files["inverse"] = str(own / names["inverse"]) if (folder.path / own / names["inverse"]).is_file() else ""
        row = {name: results[pair.name].get(name, "") for name in SHOWN}
        rows.append(files | {"seconds": row.pop("seconds_with_preparation")} | row)
    write_csv(folder.path / "pairs.csv", rows)
    if config.names == "learn2reg":
        _write_submission(folder, pairs, {row["pair"]: row["transforms"] for row in rows})
    means = {name: _mean([result.get(name) for result in results.values()]) for name in SHOWN}
    means = {name: value for name, value in means.items() if value is not None}
    write_json(folder.path / "metrics.json", {"pairs": len(rows), "failed": len(problems), "means": means})
    report = Report(f"{len(rows)} pairs registered", folder)
    report.table([{"measure": name, "mean": value} for name, value in means.items()])
    for line in (*said(), *(f"failed: {problem}" for problem in problems[:20])):
        report.text(line)
    report.text(f"evaluate --set pairs={folder.path / 'pairs.csv'} measures them, with intervals and pictures.")
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    log(f"manifest of the results: {folder.path / 'pairs.csv'}")
    log(f"report: {report.write()}")


def _mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
