"""Task `kidney`: segment, and bring a segmentation network to a new population."""

from pathlib import Path

import numpy as np

from app.config import config_text
from app.data.cohort import csv_rows
from app.data.mask_cohort import (
    cohort_path,
    load_cases,
    read_cases,
    simulated_counts,
    split_cases,
    split_rows,
    stand_ins,
)
from app.errors import UserError
from app.files import write_csv
from app.quiet import import_keras
from app.tasks.export_trained import export_trained
from app.tasks.network_cost import check_cubes, cube_cost
from app.training.run_folder import RunFolder, log
from app.training.split_file import SPLIT, check_split

FREE_KEYS = ("largest_component", "data.nan")
OBJECTIVES = ("loss", "validation_dice")  # what a search may look for
KEYS = "data.size, network.filters, training.batch_size"  # which memory depends on
TRAINED_ON = {"source": ("source",), "joint": ("source", "target")}  # the others: the target


def run(config, dry_run=False, action="train", inputs=(), to=None):
    """Train or adapt a network and report; or apply it.

    Args:
        config: `KidneyConfig`.
        dry_run: Check and print only.
        action: "train" from nothing; "transfer" from a trained network; "evaluate" on the test volumes of the
            config's cohort; "predict" the masks of files, folders or DICOM series; "export" a SavedModel.
        inputs: Paths to predict.
        to: Folder for predictions, evaluation or export; by default within the output.

    Raises:
        UserError: If anything about config, data or folder is wrong.
    """
    folder = RunFolder(config.output)
    if action == "predict":
        from app.tasks.kidney_predict import predict

        to = Path(to) if to else folder.path / "predictions"
        return predict(folder, inputs, to, config.largest_component, config.data.nan, dry_run)
    if action == "export":
        return export_trained("kidney", folder, _served, Path(to) if to else folder.path / "export", dry_run)
    if action == "evaluate":
        return _evaluate(config, folder, Path(to) if to else folder.path / "evaluation", dry_run)
    if (action == "transfer") != (config.source is not None):
        needed = "transfer" if config.source is not None else "train"
        raise UserError(f"kidney {action}: strategy '{config.strategy}' is run by 'kidney {needed}'")
    folder.check(config, FREE_KEYS)
    if config.data.phantom is not None:
        _check_simulated(config)
    source, source_contract = _source(config)
    if dry_run:
        return _describe(config, source)
    parts = _parts(config, config.output / "phantoms")
    rows = split_rows(parts)
    check_split(folder, rows)
    _check_source(config, parts)
    check_cubes(config, len(parts["train"]))
    loaded = _loaded(config, parts)
    folder.open(config)
    write_csv(folder.path / SPLIT, rows)
    log(", ".join(f"{name} {len(found)} volumes" for name, found in loaded.items()) + f"; output in {folder.path}")
    simulated = config.data.phantom is not None or (source_contract is not None and source_contract.simulated)
    return _train_and_report(config, folder, loaded, parts["test"], source, simulated)


def _check_simulated(config):
    """Refused before anything is simulated: nothing to train on, or more than memory holds."""
    wanted, counts = TRAINED_ON.get(config.strategy, ("target",)), simulated_counts(config.data)
    missing = [name for name in wanted if not counts[name]]
    if missing:
        raise UserError(
            f"data.phantom: strategy '{config.strategy}' trains on the population {' and '.join(wanted)}; no training "
            f"volume of {' and '.join(missing)} is left: raise adults (source) or children (target), or data.split"
        )
    check_cubes(config, sum(counts[name] for name in wanted))


def _source(config):
    """The network to start from and its contract; refused before anything is simulated, read or written."""
    if config.source is None:
        return None, None
    import_keras()

    from app.tasks.kidney_model import check_strategy, load_source

    source, contract = load_source(RunFolder(config.source), config.data)
    check_strategy(config, source, RunFolder(config.source))
    return source, contract


def _parts(config, phantoms):
    path = cohort_path(config.data, phantoms)
    parts = split_cases(read_cases(path, config.data.nan), config.data.split, config.seed)
    wanted = TRAINED_ON.get(config.strategy, ("target",))
    for name in ("train", "validate"):
        parts[name] = [one for one in parts[name] if one.population in wanted]
    most = config.data.target_examples
    if most is not None:
        target = [one for one in parts["train"] if one.population == "target"]
        order = np.random.default_rng(config.seed).permutation(len(target))[:most]
        kept = {id(target[index]) for index in order}
        parts["train"] = [one for one in parts["train"] if one.population != "target" or id(one) in kept]
    missing = [kind for kind in wanted if not any(one.population == kind for one in parts["train"])]
    if missing:
        raise UserError(
            f"{path}: strategy '{config.strategy}' trains on the population {' and '.join(wanted)}; no training "
            f"volume of {' and '.join(missing)} is there: add subjects with that population, or change data.split"
        )
    if not parts["test"]:
        raise UserError(f"{path}: no volume is left for the test; change data.split or add subjects")
    return parts


def _loaded(config, parts):
    """The volumes to train on and to validate with; those of the test are read too, so that all that is wrong is said
    before a training and not after it."""
    everything = [one for name in ("train", "validate", "test") for one in parts[name]]
    data = config.data
    cubes = {one.case: one for one in load_cases(everything, data, data.labels and [data.labels])}
    return {name: [cubes[one] for one in parts[name]] for name in ("train", "validate")}


def _check_source(config, parts):
    """Nobody may be tested on whom the source was trained."""
    if config.source is None or not (config.source / SPLIT).is_file():
        return
    rows = csv_rows(config.source / SPLIT, ("part", "subject"))
    trained = {row["subject"] for row in rows if row["part"] == "train"}
    both = sorted({one.subject for one in parts["test"]} & trained)
    if both:
        raise UserError(
            f"source: {config.source} was trained on {len(both)} subjects that would be tested here "
            f"({', '.join(both[:3])} ...); use the same cohort, seed and data.split for both"
        )


def _train_and_report(config, folder, loaded, test, source, simulated):
    keras = import_keras()

    from app.data.cube_batches import CubeBatches
    from app.reporting.kidney_report import write_report
    from app.tasks.kidney_model import POPULATION, build, compile_model, dice_of, segment, write_population
    from app.training.callbacks import save_model
    from app.training.kidney_contract import KidneyContract
    from app.training.train import train
    from transfer.strategies import STRATEGIES, added_parameters

    keras.utils.set_random_seed(config.seed)
    source_folder = RunFolder(config.source) if config.source else None
    if STRATEGIES[config.strategy].trains == "statistics":
        model, history = build(config, source, loaded["train"]), []
    else:

        def batches(first_epoch):
            return CubeBatches(
                loaded["train"], config.training.batch_size, config.seed, config.augmentation, first_epoch
            )

        measure = (
            (lambda model: {"validation_dice": dice_of(model, loaded["validate"])}) if loaded["validate"] else None
        )
        model, history = train(
            build=lambda: build(config, source, loaded["train"], source_folder),
            pairs=batches,
            config=config.training,
            folder=folder,
            measure=measure,
            compile_model=lambda model: compile_model(config, model, len(batches(0))),
        )
    save_model(model, folder.model)
    own = [one for one in loaded["train"] if one.case.population == "source"]
    if own and source is None:
        write_population(folder.path / POPULATION, model, own)
    contract = KidneyContract(
        config.data.size, config.data.spacing_mm, config.strategy, simulated, **config.data.intensity_rule.model_dump()
    )
    contract.write(folder.contract)
    log("evaluating on the test volumes")
    counts = {"parameters": (source or model).count_params(), "added_parameters": added_parameters(model)}
    path = write_report(
        config, folder, contract, counts, lambda volume: segment(model, contract, volume, config.largest_component),
        (lambda volume: segment(source, contract, volume, config.largest_component)) if source else None, test, history,
    )  # fmt: skip
    log(f"report: {path}")


def _evaluate(config, folder, to, dry_run):
    import_keras()

    from app.reporting.kidney_report import write_evaluation
    from app.tasks.kidney_model import segment
    from app.training.kidney_contract import KidneyContract
    from app.training.train import load_trained

    model, contract = load_trained(folder, KidneyContract, "kidney")
    folder.check(config, FREE_KEYS)
    if dry_run:
        return print(f"would evaluate the test volumes of {folder.path / SPLIT} into {to}; nothing was written")
    parts = _parts(config, config.output / "phantoms")
    check_split(folder, split_rows(parts))
    to.mkdir(parents=True, exist_ok=True)
    summary = write_evaluation(
        to,
        contract,
        lambda volume: segment(model, contract, volume, config.largest_component),
        parts["test"],
        config.data.labels,
    )
    for population, found in summary.items():
        print(f"{population}: Dice {found['dice']:.3f} ({found['volumes']} volumes); {to}")


def memory_needed(config):
    """What a training takes at the least.

    Args:
        config: `KidneyConfig`.

    Returns:
        Bytes.
    """
    return cube_cost(config, 1).bytes(config.training.batch_size)


def trials(config, phantoms):
    """What a search needs of this task.

    Args:
        config: `KidneyConfig`.
        phantoms: Where a simulated cohort is written.

    Returns:
        `CubeTrials`.

    Raises:
        UserError: If config or data are wrong, or the strategy trains nothing.
    """
    if config.strategy == "statistics":
        raise UserError("strategy: 'statistics' trains nothing that could be searched; choose another")
    if config.data.phantom is not None:
        _check_simulated(config)
    source, _ = _source(config)
    parts = _parts(config, phantoms)
    _check_source(config, parts)
    loaded = _loaded(config, parts)
    import_keras()

    from app.tasks.cube_trials import CubeTrials
    from app.tasks.kidney_model import build, compile_model, dice_of

    folder = RunFolder(config.source) if config.source else None
    make = lambda changed: build(changed, source, loaded["train"], folder)  # noqa: E731
    return CubeTrials(loaded, make, compile_model, dice_of, lambda changed: ())


def _served():
    from app.export.saved_model import export_segmentation
    from app.training.kidney_contract import KidneyContract

    return KidneyContract, export_segmentation, "signature 'segment', cubes to probabilities"


def _describe(config, source):
    import_keras()

    from app.data.cube_batches import CubeBatches
    from app.tasks.dry_run import tell_cost
    from app.tasks.kidney_model import build, compile_model

    if config.data.phantom is None:
        parts = _parts(config, None)
        _check_source(config, parts)
        check_cubes(config, len(parts["train"]))
        loaded = _loaded(config, parts)
        print(", ".join(f"{name}: {len(found)} volumes" for name, found in loaded.items()))
        train = loaded["train"]
    else:
        wanted = TRAINED_ON.get(config.strategy, ("target",))
        train = [one for one in stand_ins(config.data) if one.case.population in wanted]
    print(config_text(config))
    if source is not None:  # what an adapted network begins with is searched, which takes as long as some epochs
        return print(f"source: {source.count_params():,} weights\ndry run: nothing was written")

    def prepare(batch):
        batches = CubeBatches(train, batch, config.seed, config.augmentation)
        model = build(config, None, train)
        compile_model(config, model, len(batches))
        return model, batches

    batches = CubeBatches(train, config.training.batch_size, config.seed, config.augmentation)
    tell_cost(cube_cost(config, len(train)), prepare, batches.batch_size, config.training.epochs, len(batches))
