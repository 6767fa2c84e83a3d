"""Task `apply` for the pairs of a manifest."""

import json
import os

from app.config import check_values, config_text
from app.data.manifest import read_manifest
from app.files import write_json
from app.flows.cohort import list_failures, run_cohort
from app.tasks.apply_config import ApplyConfig
from app.tasks.apply_one import apply_one
from app.training.run_folder import RunFolder, log
from app.training.run_lock import release_folders
from app.transforms.files import fitting_kind

FREE = ("output", "cluster")
MOVED = {"images": "moving", "labels": "moving_labels", "points": "moving_points"}


def apply_pairs(config, dry_run=False):
    """Move image, labels and points of each moving side by its pair's transforms, onto the fixed image's grid.

    `pairs/NAME/` has what `apply` writes, but for the page; `metrics.json` has how many.

    Args:
        config: `ApplyConfig` with `pairs`.
        dry_run: Check and print only.

    Raises:
        UserError: If the manifest or the config is wrong; at the end, if something could not be moved.
    """
    folder = RunFolder(config.output)
    folder.check(config, FREE)
    pairs = read_manifest(config.pairs, ("transforms",))
    jobs = {pair.name: _job(config, pair, folder) for pair in pairs}
    if dry_run:
        print(config_text(config))
        print(f"what moves of {len(pairs)} pairs would be moved into {folder.path}\ndry run: nothing was written")
        return
    folder.open(config)
    log(f"{len(pairs)} pairs of {config.pairs}")
    results, problems = run_cohort("app.tasks.apply_pairs:apply_job", jobs, folder, config.cluster, "moving")
    write_json(folder.path / "metrics.json", {"pairs": len(results), "failed": len(problems)})
    log(f"moved: {folder.path / 'pairs'}")
    list_failures(problems, folder)


def apply_job(job):
    """Apply one pair's transforms; see `app.cluster`.

    Args:
        job: Dict: an `ApplyConfig` as JSON.

    Returns:
        Dict of what its `metrics.json` counts.

    Raises:
        UserError: As `apply_one`.
    """
    config = check_values(ApplyConfig, job, "pair")
    try:
        apply_one(config, page=False)
    finally:
        release_folders()
    return json.loads((config.output / "metrics.json").read_text(encoding="utf-8"))


def _job(config, pair, folder):
    """The config of one pair, as JSON holds it."""
    values = config.model_dump(mode="json", by_alias=True)
    values |= {"pairs": None, "cluster": {}, "kind": None, "output": str(folder.path / "pairs" / pair.name)}
    values["reference"] = os.path.abspath(pair.fixed)
    values["transforms"] = [
        {"file": os.path.abspath(file), "kind": fitting_kind(file, config.kind)} for file in pair.transforms
    ]
    for kind, name in MOVED.items():
        path = getattr(pair, name)
        values[kind] = [] if path is None else [os.path.abspath(path)]
    return values
