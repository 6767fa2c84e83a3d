"""Task `evaluate`: measure a trained model on the pairs of a cohort."""

from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from app.config import TaskConfig, config_text
from app.data.checks import check_cohort
from app.data.cohort import CohortConfig, draw_pairs, read_cohort, read_label_names, split_cohort
from app.errors import UserError
from app.quiet import import_keras
from app.training.contract import find_model
from app.training.run_folder import RunFolder, log


class EvaluateConfig(TaskConfig):
    """Config of the task."""

    task: Literal["evaluate"] = "evaluate"
    model: Path
    data: CohortConfig
    precision: Literal["float32", "bfloat16"] | None = None
    subjects: Literal["train", "validate", "test", "all"] = "test"
    hyper: list[dict[str, float]] = pydantic.Field([{}], min_length=1)


CONFIG = EvaluateConfig


def run(config, dry_run=False):
    """Measure and report: Dice, HD95, folding, SDlogJ and seconds, a pair and in sum.

    Args:
        config: `EvaluateConfig`; each entry of `hyper` names values, what is missing takes
            the model's best.
        dry_run: Check and print only.

    Raises:
        UserError: If anything about config, model, data or folder is wrong.
    """
    folder = RunFolder(config.output)
    folder.check(config, ("output", "data.cache_gib"))
    model_file, contract = find_model(config.model)
    values = list(dict.fromkeys(contract.hyper_vector(chosen) for chosen in config.hyper))
    rule = {"low_percentile": contract.low_percentile, "high_percentile": contract.high_percentile}
    data = config.data.model_copy(update=rule)
    if data.phantom is not None:
        raise UserError("data.phantom: evaluate reads files; give the cohort.csv of a run's phantoms folder")
    subjects = read_cohort(data)
    if config.subjects != "all":
        subjects = split_cohort(subjects, data.split, config.seed)[config.subjects]
    if len(subjects) < 2:
        raise UserError(f"data: {len(subjects)} subjects to evaluate ({config.subjects}); two or more are needed")
    summary = check_cohort(subjects, data, len(contract.shape))
    names = {**{int(k): v for k, v in contract.structures.items()}, **read_label_names(data.label_names)}
    pairs = draw_pairs(subjects, data.pairs, config.seed)
    if dry_run:
        print(config_text(config))
        print(f"{len(subjects)} subjects, {len(pairs)} pairs, {len(values)} hyper-parameter values")
        print("dry run: nothing was written")
        return
    folder.open(config)
    log(f"{len(pairs)} pairs at {len(values)} hyper-parameter values")
    _evaluate(config, folder, model_file, contract, values, data, summary, names, pairs)


def _evaluate(config, folder, model_file, contract, values, data, summary, names, pairs):
    import_keras()

    from app.data.batches import SubjectCache
    from app.reporting.evaluate_pairs import evaluate_pairs, summarise
    from app.reporting.hypermorph_report import SIMULATED, write_report
    from app.training.train import load_checkpoint

    model = load_checkpoint(model_file, config.precision)
    cache = SubjectCache(data, summary.shape, summary.structures)
    rows = evaluate_pairs(model, pairs, cache, values, summary.spacing_mm, surfaces=True)
    means = summarise(rows)
    best = max(means, key=lambda entry: np.nan_to_num(entry.get("dice", 0.0)))["hyper"]
    labels = [names.get(value, f"label {value}") for value in summary.structures]
    path = write_report(
        config,
        folder,
        model,
        cache,
        model.hyper_parameters,
        rows,
        best,
        "Best of these values on these very pairs" if len(values) > 1 else "Evaluated",
        [],
        labels,
        pairs[0],
        summary.spacing_mm,
        SIMULATED if contract.simulated else None,
    )
    log(f"report: {path}")
