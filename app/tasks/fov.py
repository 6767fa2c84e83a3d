"""Task `fov`: which regions of the body a volume shows, and where."""

from pathlib import Path

import numpy as np

from app.config import config_text
from app.data.region_cohort import load_examinations, read_examinations, split_examinations
from app.data.regions import CLASSES, IGNORED
from app.errors import list_problems
from app.files import write_csv
from app.quiet import import_keras
from app.tasks.export_trained import export_trained
from app.tasks.network_cost import check_memory, fov_cost
from app.training.run_folder import RunFolder, log
from app.training.split_file import SPLIT, check_split

FREE_KEYS = ("decision", "data.nan")
OBJECTIVES = ("loss", "validation_loss", "validation_error")  # what a search may look for
KEYS = "data.size, training.batch_size, network.filters, units and convolutions"  # which memory depends on


def run(config, dry_run=False, action="train", inputs=(), to=None):
    """Train and report; or apply what was trained.

    Args:
        config: `FovConfig`.
        dry_run: Check and print only.
        action: "train"; "evaluate" the trained model on the test volumes of the config's cohort; "predict" the
            regions of files, folders or DICOM series; "export" a SavedModel.
        inputs: Paths to predict.
        to: Folder for predictions, evaluation or export; by default within the output.

    Raises:
        UserError: If anything about config, data or folder is wrong.
    """
    folder = RunFolder(config.output)
    if action == "predict":
        from app.tasks.fov_predict import predict

        return predict(folder, inputs, Path(to) if to else folder.path / "predictions", config.data.nan, dry_run)
    if action == "export":
        return export_trained("fov", folder, _served, Path(to) if to else folder.path / "export", dry_run)
    if action == "evaluate":
        return _evaluate(config, folder, Path(to) if to else folder.path / "evaluation", dry_run)
    folder.check(config, FREE_KEYS)
    check_memory(memory_needed(config), KEYS)
    if dry_run:
        return _describe(config)
    parts = _parts(config, config.output / "phantoms")
    rows = _split_rows(parts)
    check_split(folder, rows)
    loaded = _loaded(config, parts)
    _check_classes(loaded)
    folder.open(config)
    write_csv(folder.path / SPLIT, rows)
    log(", ".join(f"{name} {len(found)} volumes" for name, found in loaded.items()) + f"; output in {folder.path}")
    return _train_and_report(config, folder, loaded)


def memory_needed(config):
    """What a training takes at the least.

    Args:
        config: `FovConfig`.

    Returns:
        Bytes.
    """
    return fov_cost(config).bytes(config.training.batch_size)


def _parts(config, phantoms):
    if config.data.phantom is None:
        path = config.data.cohort
    else:
        from app.data.phantoms.bodies import write_bodies

        config.data.split.counts(config.data.phantom.subjects)
        path = write_bodies(phantoms, config.data.phantom)
    return split_examinations(read_examinations(path, config.data.nan), config.data.split, config.seed)


def _loaded(config, parts):
    """The volumes of all parts, read together: all that is wrong is said at once."""
    everything = [one for found in parts.values() for one in found]
    stacks = {one.examination: one for one in load_examinations(everything, config.data)}
    return {name: [stacks[one] for one in found] for name, found in parts.items()}


def _split_rows(parts):
    return [{"part": name, "subject": one.subject, "image": one.image.name} for name in parts for one in parts[name]]


def _check_classes(loaded):
    problems, trained = [], set(np.concatenate([one.classes for one in loaded["train"]]))
    for name, stacks in loaded.items():
        known = set(np.concatenate([one.classes for one in stacks])) - {IGNORED}
        if not known:
            problems.append(f"data: every slice of the {name} volumes is ignored; give regions, or change data.split")
        strange = [CLASSES[index] for index in sorted(known - trained)]
        if strange:
            problems.append(
                f"data: the {name} volumes show {', '.join(strange)}, the training volumes never do; add subjects, or "
                "change seed or data.split"
            )
    list_problems(problems)


def _train_and_report(config, folder, loaded):
    keras = import_keras()

    from app.reporting.fov_report import write_report
    from app.tasks.fov_trials import FovTrials, logits_of, network
    from app.training.callbacks import save_model
    from app.training.fov_contract import FovContract
    from app.training.train import train
    from nets.classification.volume_decision import VolumeDecision

    keras.utils.set_random_seed(config.seed)
    trials = FovTrials(config, loaded["train"], loaded["validate"])
    model, history = train(
        build=lambda: network(config),
        pairs=lambda first: trials.batches(config, first),
        config=config.training,
        folder=folder,
        measure=trials.measure,
        compile_model=lambda model: trials.compile(config, model),
    )
    log("calibrating on the validation volumes")
    volumes = [(logits_of(model, one.slices), one.classes, one.stack.spacing_mm) for one in loaded["validate"]]
    decision = VolumeDecision(CLASSES, **config.decision.model_dump()).fit(volumes)
    save_model(model, folder.model)
    contract = FovContract(
        config.data.size,
        config.data.context,
        decision,
        config.data.phantom is not None,
        **config.data.intensity_rule.model_dump(),
    )
    contract.write(folder.contract)
    log("evaluating on the test volumes")
    path = write_report(config, folder, contract, lambda slices: logits_of(model, slices), loaded["test"], history)
    log(f"report: {path}")


def _evaluate(config, folder, to, dry_run):
    import_keras()

    from app.reporting.fov_report import write_evaluation
    from app.tasks.fov_trials import logits_of
    from app.training.fov_contract import FovContract
    from app.training.train import load_trained

    model, contract = load_trained(folder, FovContract, "fov")
    folder.check(config, FREE_KEYS)
    if dry_run:
        return print(f"would evaluate the test volumes of {folder.path / SPLIT} into {to}; nothing was written")
    parts = _parts(config, config.output / "phantoms")
    check_split(folder, _split_rows(parts))
    loaded = load_examinations(parts["test"], contract)
    to.mkdir(parents=True, exist_ok=True)
    summary = write_evaluation(to, contract, lambda slices: logits_of(model, slices), loaded)
    print(
        f"{to}: {100 * summary['raw_error']:.1f} % of slices wrong by themselves, "
        f"{100 * summary['decided_error']:.1f} % decided; regions right in {100 * summary['regions_right']:.0f} % of "
        f"{summary['volumes']} volumes"
    )


def _served():
    from app.export.saved_model import export_classifier
    from app.training.fov_contract import FovContract

    return FovContract, export_classifier, "signature 'classify', slices to probabilities"


def trials(config, phantoms):
    """What a search needs of this task.

    Args:
        config: `FovConfig`.
        phantoms: Where a simulated cohort is written.

    Returns:
        `FovTrials`.

    Raises:
        UserError: If config or data are wrong.
    """
    parts = _parts(config, phantoms)
    loaded = _loaded(config, {name: parts[name] for name in ("train", "validate")})
    import_keras()

    from app.tasks.fov_trials import FovTrials

    return FovTrials(config, **loaded)


def _describe(config):
    import_keras()

    from app.tasks.fov_trials import network
    from app.tuning.model_size import model_size

    if config.data.phantom is None:
        loaded = _loaded(config, _parts(config, None))
        _check_classes(loaded)
        print(", ".join(f"{name}: {len(found)} volumes" for name, found in loaded.items()))
    else:
        config.data.split.counts(config.data.phantom.subjects)
    print(config_text(config))
    weights, activations = model_size(lambda: network(config))
    print(f"network: {weights:,} weights, {activations:,} activations a slice")
    print("dry run: nothing was written")
