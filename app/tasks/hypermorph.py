"""Task `hypermorph`: train one network for all hyper-parameter values, and report on it."""

import dataclasses
import itertools
import math
import tempfile
from pathlib import Path

from app.config import config_text
from app.data.checks import check_cohort
from app.data.cohort import PAIR, cohort_label_names, draw_pairs, read_cohort, split_cohort
from app.errors import UserError, list_problems
from app.files import write_csv
from app.processor import slow_precision
from app.quiet import import_keras
from app.tasks.network_cost import check_memory, hypermorph_cost
from app.training.run_folder import RunFolder, log
from app.training.split_file import SPLIT, check_split, subject_rows
from nets.registration.hyper_parameter import HyperParameter

FREE_KEYS = ("output", "evaluation", "data.cache_gib", "data.nan")
OBJECTIVES = ("loss", "validation_dice")  # what a search may look for
KEYS = "data.shape, training.batch_size, network.encoder, decoder, final and units"  # which memory depends on
GENERATED = ("generator", "units", "depth")  # keys of the hypernetwork
SIMULATED = 64  # bytes a voxel while a brain is simulated
FEW = 2  # simulated brains with which a dry run measures


def run(config, dry_run=False):
    """Train, evaluate and report.

    Args:
        config: `HyperMorphConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If anything about config, data or folder is wrong.
    """
    hyper = hyper_parameters(config)
    folder = RunFolder(config.output)
    folder.check(config, FREE_KEYS)
    with tempfile.TemporaryDirectory() as scratch:
        check_memory(memory_needed(config), KEYS)
        data, simulated = _data(config, Path(scratch) if dry_run else config.output / "phantoms", few=dry_run)
        names = cohort_label_names(data)
        return _checked_run(config, dry_run, folder, hyper, data, simulated, names)


def memory_needed(config, shape=None):
    """What a training takes at the least.

    Args:
        config: `HyperMorphConfig`.
        shape: Of the images; that of the config by default, and where it has none only weights are counted.

    Returns:
        Bytes.
    """
    shape = shape or config.data.shape or (config.data.phantom and config.data.phantom.shape)
    return hypermorph_cost(config, shape).bytes(config.training.batch_size)


def _checked(config, data, total=None):
    """Subjects, splits and summary; everything that is wrong is said.

    Of a simulated cohort a dry run has the first few subjects; each stands for others, up to a total.
    """
    there = read_cohort(data)
    subjects = there
    if total is not None:
        subjects = [dataclasses.replace(there[at % len(there)], name=f"phantom-{at:03d}") for at in range(total)]
    parts = split_cohort(subjects, data.split, config.seed, PAIR)
    problems = [
        f"data.split: {name} needs {PAIR} subjects or more, has {len(part)} of the cohort's {len(subjects)}; "
        "raise its share or add subjects"
        for name, part in parts.items()
        if len(part) < PAIR
    ]
    list_problems(problems)
    summary = check_cohort(there, data, config.network.rank)
    if uses_labels(config) and not summary.structures:
        raise UserError("gamma weighs labels, but the cohort has no label files; add them or leave gamma out")
    return subjects, parts, summary


def _checked_run(config, dry_run, folder, hyper, data, simulated, names):
    total = config.data.phantom.subjects if simulated and dry_run else None
    subjects, parts, summary = _checked(config, data, total)
    check_memory(memory_needed(config, summary.shape), KEYS)
    if dry_run:
        from app.tasks.dry_run import describe

        print(config_text(config))
        return describe(config, hyper, subjects, parts, summary, data, uses_labels(config))
    rows = subject_rows(parts)
    check_split(folder, rows)
    folder.open(config)
    write_csv(folder.path / SPLIT, rows)
    log(f"{len(subjects)} subjects {summary.shape}, {len(summary.structures)} structures, output in {folder.path}")
    return _train_and_report(config, hyper, parts, summary, data, names, simulated, folder)


def _train_and_report(config, hyper, parts, summary, data, names, simulated, folder):
    keras = import_keras()

    from app.data.batches import SubjectCache
    from app.reporting.evaluate_pairs import evaluate_pairs, summarise, validation_dice
    from app.reporting.hypermorph_report import SIMULATED, write_report
    from app.training.callbacks import save_model
    from app.training.contract import Contract
    from app.training.train import train

    keras.utils.set_random_seed(config.seed)
    if line := slow_precision(config.network.precision):
        log(line)
    cache = SubjectCache(data, summary.shape, summary.structures)
    grid = list(itertools.product(*(one.grid(config.evaluation.values) for one in hyper)))
    validation_pairs = draw_pairs(parts["validate"], data.pairs, config.seed)

    model, history = train(
        build=lambda: build_model(config, hyper, len(summary.structures) if uses_labels(config) else 0),
        pairs=lambda first: training_pairs(config, parts, cache, hyper, uses_labels(config), first),
        config=config.training,
        folder=folder,
        measure=validation_dice(validation_pairs[: config.training.validate_pairs], cache, coarse_grid(hyper))
        if summary.structures
        else None,
    )
    log("evaluating on the validation pairs, to choose the best hyper-parameters")
    validation = summarise(evaluate_pairs(model, validation_pairs, cache, grid))
    best = _best(validation)
    log("evaluating on the test pairs")
    test_pairs = draw_pairs(parts["test"], data.pairs, config.seed)
    rows = evaluate_pairs(model, test_pairs, cache, grid, summary.spacing_mm, surfaces=True)
    labels = [names.get(value, f"label {value}") for value in summary.structures]
    save_model(model, folder.model)
    Contract(
        data.low_percentile,
        data.high_percentile,
        list(summary.shape),
        list(summary.spacing_mm),
        {one.name: [one.low, one.high] for one in hyper},
        dict(zip([one.name for one in hyper], best, strict=True)) if summary.structures else {},
        dict(zip(map(str, summary.structures), labels, strict=True)),
        simulated,
        data.background,
    ).write(folder.contract)
    path = write_report(
        config,
        folder,
        model,
        cache,
        hyper,
        rows,
        best,
        "Best in validation",
        history,
        labels,
        test_pairs[0],
        summary.spacing_mm,
        SIMULATED if simulated else None,
    )
    log(f"report: {path}")


def _best(validation):
    """Values with the best mean Dice; without labels the middle of the grid, to look at."""
    known = [entry for entry in validation if math.isfinite(entry.get("dice", math.nan))]
    if known:
        return max(known, key=lambda entry: entry["dice"])["hyper"]
    return validation[len(validation) // 2]["hyper"]


def build_model(config, hyper, labels):
    """The network of a config.

    Args:
        config: `HyperMorphConfig`.
        hyper: List of `HyperParameter`.
        labels: Number of labels in the loss.

    Returns:
        `HyperMorph`, or `VoxelMorph` where there is no hyper-parameter; not compiled.
    """
    from nets.registration.hypermorph import HyperMorph
    from nets.registration.objective import Objective
    from nets.registration.voxelmorph import VoxelMorph

    objective = Objective(
        **config.objective.model_dump(),
        smoothness_scale=float(config.network.velocity_resolution),
        labels=labels,
    )
    network = config.network.model_dump()
    if hyper:
        return HyperMorph(hyper=hyper, objective=objective, **network)
    return VoxelMorph(objective=objective, **{key: value for key, value in network.items() if key not in GENERATED})


def uses_labels(config):
    """Whether the loss of a config compares labels.

    Args:
        config: `HyperMorphConfig`.

    Returns:
        Bool.
    """
    return config.objective.gamma > 0 or any(one.name == "gamma" for one in config.hyper)


def coarse_grid(hyper):
    """A few values of each hyper-parameter, for validation while training.

    Args:
        hyper: List of `HyperParameter`.

    Returns:
        List of tuples.
    """
    shares = [[one.low + share * (one.high - one.low) for share in (0.1, 0.5)] for one in hyper]
    return list(itertools.product(*shares))


def trials(config, phantoms):
    """What a search needs of this task.

    Args:
        config: `HyperMorphConfig`.
        phantoms: Where a simulated cohort is written.

    Returns:
        `HyperMorphTrials`.

    Raises:
        UserError: If config or data are wrong.
    """
    hyper_parameters(config)
    data, _ = _data(config, phantoms)
    _, parts, summary = _checked(config, data)
    import_keras()

    from app.tasks.hypermorph_trials import HyperMorphTrials

    return HyperMorphTrials(config, parts, summary, data)


def training_pairs(config, parts, cache, hyper, labels, first_epoch=0):
    """The batches of a config.

    Args:
        config: `HyperMorphConfig`.
        parts: Dict from split to subjects.
        cache: `SubjectCache`.
        hyper: List of `HyperParameter`.
        labels: Whether the loss compares labels.
        first_epoch: Epoch with which training begins.

    Returns:
        `TrainingPairs`.
    """
    from app.data.batches import TrainingPairs

    training = config.training
    return TrainingPairs(
        parts["train"],
        cache,
        hyper,
        training.steps,
        training.batch_size,
        training.hyper_per,
        labels,
        config.seed,
        first_epoch,
    )


def hyper_parameters(config):
    """The learned hyper-parameters of a config.

    Args:
        config: `HyperMorphConfig`.

    Returns:
        List of `HyperParameter`.

    Raises:
        UserError: If they are out of range, named twice or without effect.
    """
    problems, hyper = [], []
    for index, one in enumerate(config.hyper):
        try:
            hyper.append(HyperParameter(**one.model_dump()))
        except ValueError as error:
            problems.append(f"hyper.{index}: {error}")
    names = [one.name for one in config.hyper]
    if len(set(names)) != len(names):
        problems.append(f"hyper: {', '.join(names)}: each may appear once")
    for name, similarity in (("ncc_window", "ncc"), ("nmi_bins", "nmi")):
        if name in names and config.objective.similarity != similarity:
            problems.append(f"hyper: {name} acts on objective.similarity: {similarity} only; set that or leave it out")
    list_problems(problems)
    return hyper


def _data(config, where, few=False):
    """The data section with a simulated cohort (or a few of it) made and named in it, and whether it is one."""
    data = config.data
    given = [key for key in ("cohort", "images", "phantom") if getattr(data, key) is not None]
    if len(given) != 1:
        raise UserError(f"data: give one of cohort, images and phantom; given: {', '.join(given) or 'none'}")
    if data.phantom is None:
        return data, False
    from app.data.phantoms.brains import write_brains

    data.split.counts(data.phantom.subjects)
    check_memory(SIMULATED * math.prod(data.phantom.shape), "data.phantom.shape")
    phantom = data.phantom
    if few:
        phantom = phantom.model_copy(update={"subjects": min(FEW, phantom.subjects)})
    cohort, _ = write_brains(where, phantom)
    return data.model_copy(update={"cohort": cohort}), True
