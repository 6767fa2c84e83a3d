"""Task `evaluate`: measure a trained model on the pairs of a cohort."""

import numpy as np

from app.config import config_text, load_config
from app.data.checks import check_cohort
from app.data.cohort import PAIR, cohort_label_names, draw_pairs, read_cohort, split_cohort
from app.errors import UserError
from app.quiet import import_keras
from app.tasks.hypermorph_config import HyperMorphConfig
from app.tasks.network_cost import check_memory, register_bytes
from app.training.contract import find_model
from app.training.run_folder import RunFolder, log
from app.training.split_file import read_split


def run(config, dry_run=False):
    """Measure and report: Dice, HD95, folding, SDlogJ and seconds, per pair and overall.

    Subjects are those of the run's own test split (`split.csv`), unless the config has a split of its own; images
    are prepared and padded as in training. Subjects that were trained on are named.

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
    data, seed = _data(config, model_file.parent, contract)
    split = read_split(model_file.parent)
    subjects = _subjects(config, read_cohort(data), data, split, seed)
    summary = check_cohort(subjects, data, len(contract.shape))
    check_memory(register_bytes(summary.shape), "data.shape", "lower it, or crop the images")
    names = {**{int(k): v for k, v in contract.structures.items()}, **cohort_label_names(data)}
    pairs = draw_pairs(subjects, data.pairs, config.seed)
    trained_on = _trained_on(subjects, split)
    if dry_run:
        print(config_text(config))
        print(f"{len(subjects)} subjects, {len(pairs)} pairs, {len(values)} hyper-parameter values")
        print(*([trained_on] if trained_on else []), "dry run: nothing was written", sep="\n")
        return
    folder.open(config)
    log(f"{len(pairs)} pairs at {len(values)} hyper-parameter values")
    if trained_on:
        log(trained_on)
    _evaluate(config, folder, model_file, contract, values, data, summary, names, pairs, trained_on)


def _data(config, run, contract):
    """The cohort to evaluate on, its images prepared as those of the training, and the seed that deals it."""
    data, seed = config.data, config.seed
    if data is None:
        kept = run / "config.yaml"
        if not kept.is_file():
            raise UserError(f"data: missing, and {kept}, which would name the model's own cohort, is not there; add it")
        trained = load_config(HyperMorphConfig, kept)
        data, seed = trained.data, trained.seed
        if data.phantom is not None:
            data = data.model_copy(update={"cohort": run / "phantoms" / "cohort.csv", "phantom": None})
    if data.phantom is not None:
        raise UserError("data.phantom: evaluate reads files; give the cohort.csv of a run's phantoms folder")
    rule = contract.intensity_rule.model_dump()
    return data.model_copy(update={**rule, "shape": data.shape or contract.shape}), seed


def _subjects(config, subjects, data, split, seed):
    """Those of the config's own split, else of the run's, else all."""
    if config.subjects != "all":
        if (config.data is not None and "split" in config.data.model_fields_set) or not split:
            subjects = split_cohort(subjects, data.split, seed, PAIR)[config.subjects]
        else:
            chosen = set(split.get(config.subjects, ()))
            subjects = [subject for subject in subjects if subject.name in chosen]
    if len(subjects) < PAIR:
        raise UserError(
            f"data: {len(subjects)} subjects to evaluate ({config.subjects}), {PAIR} or more are needed; for another "
            "cohort than the model's set subjects: all"
        )
    return subjects


def _trained_on(subjects, split):
    """A line that names the subjects which the model was trained on, or None."""
    trained = set(split.get("train", ()))
    known = [subject.name for subject in subjects if subject.name in trained]
    if not known:
        return None
    listed = ", ".join(known[:5]) + (" ..." if len(known) > 5 else "")
    return (
        f"note: {len(known)} of the {len(subjects)} subjects have names that the model was trained on ({listed}): "
        "their figures are no evidence for new subjects"
    )


def _evaluate(config, folder, model_file, contract, values, data, summary, names, pairs, trained_on):
    import_keras()

    from app.data.batches import SubjectCache
    from app.reporting.evaluate_pairs import evaluate_pairs, summarise
    from app.reporting.hypermorph_report import SIMULATED, write_report
    from app.training.train import load_registration

    model = load_registration(model_file, contract, config.precision)
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
        " ".join([*([SIMULATED] if contract.simulated else []), *([trained_on] if trained_on else [])]) or None,
    )
    log(f"report: {path}")
