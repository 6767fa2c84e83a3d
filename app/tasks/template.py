"""Task `template`: segment by deforming a template."""

from pathlib import Path

import numpy as np

from app.config import config_text
from app.data.mask_cohort import (
    cohort_path,
    load_cases,
    read_cases,
    simulated_counts,
    split_cases,
    split_rows,
    stand_ins,
)
from app.data.template_file import read_template, write_template
from app.errors import UserError, list_problems
from app.files import write_csv
from app.quiet import import_keras
from app.tasks.export_trained import export_trained
from app.tasks.network_cost import check_cubes, cube_cost
from app.tasks.template_shape import faults, find_template
from app.training.run_folder import RunFolder, log
from app.training.split_file import SPLIT, check_split

FREE_KEYS = ("refinement_steps", "largest_component", "surface", "data.nan")
TEMPLATE = "template.nii.gz"
OBJECTIVES = ("loss", "validation_dice")  # what a search may look for
KEYS = "data.size, network.filters, training.batch_size"  # which memory depends on


def run(config, dry_run=False, action="train", inputs=(), to=None, points=None):
    """Build a template; train a network that deforms it, and report; or apply that.

    Args:
        config: `TemplateConfig`.
        dry_run: Check and print only.
        action: "build" a template from training masks; "train"; "evaluate" on the test volumes of the config's cohort;
            "predict" files, folders or DICOM series; "export" a SavedModel.
        inputs: Paths to predict.
        to: Folder for predictions, evaluation, export or the template; by default within the output.
        points: CSV of points that the mask of one volume must obey.

    Raises:
        UserError: If anything about config, data or folder is wrong, or a mask of the report breaks a guarantee.
    """
    folder = RunFolder(config.output)
    if points is not None and action != "predict":
        raise UserError(f"--points: for 'template predict' only, not for '{action}'")
    if action == "predict":
        from app.tasks.template_predict import predict

        return predict(folder, config, inputs, Path(to) if to else folder.path / "predictions", points, dry_run)
    if action == "export":
        return export_trained("template", folder, _served, Path(to) if to else folder.path / "export", dry_run)
    if action == "evaluate":
        return _evaluate(config, folder, Path(to) if to else folder.path / "evaluation", dry_run)
    if action == "build":
        return _build(config, Path(to) if to else folder.path / "template", dry_run)
    folder.check(config, FREE_KEYS)
    if config.data.phantom is not None:
        trained = sum(simulated_counts(config.data).values())
        if not trained:
            raise UserError("data.phantom: no volume is left to train on; raise adults or children, or data.split")
        check_cubes(config, trained, len(config.data.labels or [1]))
    if dry_run:
        return _describe(config)
    parts = _parts(config, config.output / "phantoms")
    check_cubes(config, len(parts["train"]), len(config.data.labels or [1]))
    rows = split_rows(parts)
    check_split(folder, rows)
    loaded = _loaded(config, parts, ("train", "validate", "test"))  # what is wrong with the test is said now
    kept = folder.path / TEMPLATE
    begun = kept.is_file() and (folder.path / "config.yaml").is_file()  # else it is another's, and not checked
    template = None if begun else find_template(config, loaded["train"])
    folder.open(config)
    write_csv(folder.path / SPLIT, rows)
    if template is not None:
        write_template(kept, template)
    # Read even if just written: a session that takes the run up has no other numbers.
    template = read_template(kept, config.data.size, config.data.spacing_mm)
    log(
        f"{len(loaded['train'])} volumes to train on, {len(parts['test'])} to test; template: "
        f"{len(template.distances)} of {'; '.join(map(str, template.topologies()))}; output in {folder.path}"
    )
    return _train_and_report(config, folder, template, loaded, parts["test"])


def _parts(config, phantoms):
    path = cohort_path(config.data, phantoms)
    parts = split_cases(read_cases(path, config.data.nan), config.data.split, config.seed)
    for name, wanted in (("train", "to train on"), ("test", "for the test")):
        if not parts[name]:
            raise UserError(f"{path}: no volume is left {wanted}; change data.split or add subjects")
    return parts


def _loaded(config, parts, names):
    everything = [one for name in names for one in parts[name]]
    cubes = load_cases(everything, config.data, config.structures)
    by_case = {one.case: one for one in cubes}
    return {name: [by_case[one] for one in parts[name]] for name in names}


def _build(config, to, dry_run):
    if config.template.file is not None:
        raise UserError("template.file: names a template that is built already; remove the key to build one")
    train = []
    if config.template.kind != "mask":
        if dry_run and config.data.phantom is not None:
            return print(f"would simulate a cohort and build a template into {to}; nothing was written")
        parts = _parts(config, config.output / "phantoms")
        train = _loaded(config, parts, ("train",))["train"]
    template = find_template(config, train)
    if dry_run:
        return print(f"would write a template of {template.topologies()[0]} into {to}; nothing was written")
    write_template(to / TEMPLATE, template)
    voxels = [int(np.sum(one > 0)) for one in np.moveaxis(template.distances[0], -1, 0)]
    millilitres = ", ".join(f"{one * template.spacing_mm**3 / 1000:.1f} ml" for one in voxels)
    print(f"{to / TEMPLATE}: {len(template.distances)} templates, {millilitres}; {template.topologies()[0]}")


def _train_and_report(config, folder, template, loaded, test):
    keras = import_keras()

    from app.data.cube_batches import CubeBatches
    from app.reporting.template_report import write_report
    from app.tasks.template_model import Segmenter, build, compile_model, dice_of, losses, poses_of
    from app.training.callbacks import save_model
    from app.training.template_contract import TemplateContract
    from app.training.train import train
    from segmentation.template import Template

    keras.utils.set_random_seed(config.seed)
    compared = losses(config, template)

    def batches(first_epoch):
        return CubeBatches(
            loaded["train"], config.training.batch_size, config.seed, config.augmentation, first_epoch, tuple(compared)
        )

    measure = (lambda model: {"validation_dice": dice_of(model, loaded["validate"])}) if loaded["validate"] else None
    model, history = train(
        build=lambda: build(config, template),
        pairs=batches,
        config=config.training,
        folder=folder,
        measure=measure,
        compile_model=lambda model: compile_model(config, model, compared, len(batches(0))),
    )
    save_model(model, folder.model)
    if compared and config.template.kind == "learned":
        learned = keras.ops.convert_to_numpy(model.get_layer("template").distances)
        template = Template(learned, template.spacing_mm, template.labels)
        write_template(folder.path / TEMPLATE, template)
    contract = TemplateContract(
        config.data.size, config.data.spacing_mm, template.labels, config.network.transform,
        config.network.diffeomorphic, template.topologies(), config.data.phantom is not None,
        **config.data.intensity_rule.model_dump(),
    )  # fmt: skip
    contract.write(folder.contract)
    log("evaluating on the test volumes")
    segment = Segmenter(model, contract, config.refinement_steps, config.largest_component)
    weights = sum(int(np.prod(one.shape)) for one in model.trainable_weights)
    poses = poses_of(model, loaded["train"])
    own = faults(template, config, folder.path / TEMPLATE)  # a learned one is another than that which was let through
    path, broken = write_report(config, folder, contract, weights, segment, test, poses, history, own)
    log(f"report: {path}")
    list_problems([f"{path}: {one}" for one in broken])


def _evaluate(config, folder, to, dry_run):
    import_keras()

    from app.reporting.template_report import write_evaluation
    from app.tasks.template_model import Segmenter
    from app.training.template_contract import TemplateContract
    from app.training.train import load_trained

    model, contract = load_trained(folder, TemplateContract, "template")
    folder.check(config, FREE_KEYS)
    if dry_run:
        return print(f"would evaluate the test volumes of {folder.path / SPLIT} into {to}; nothing was written")
    parts = _parts(config, config.output / "phantoms")
    check_split(folder, split_rows(parts))
    segment = Segmenter(model, contract, config.refinement_steps, config.largest_component)
    template = read_template(folder.path / TEMPLATE, config.data.size, config.data.spacing_mm)
    own = faults(template, config, folder.path / TEMPLATE)
    summary, broken = write_evaluation(to, contract, segment, parts["test"], config.structures, own)
    for population, found in summary.items():
        print(f"{population}: Dice {found['dice']:.3f} ({found['volumes']} volumes); {to}")
    list_problems([f"{to / 'volumes.csv'}: {one}" for one in broken])


def memory_needed(config):
    """What a training takes at the least.

    Args:
        config: `TemplateConfig`.

    Returns:
        Bytes.
    """
    return cube_cost(config, 1, len(config.data.labels or [1])).bytes(config.training.batch_size)


def trials(config, phantoms):
    """What a search needs of this task; the template is built once, of the config as it stands.

    Args:
        config: `TemplateConfig`.
        phantoms: Where a simulated cohort is written.

    Returns:
        `CubeTrials`.

    Raises:
        UserError: If config or data are wrong.
    """
    loaded = _loaded(config, _parts(config, phantoms), ("train", "validate"))
    template = find_template(config, loaded["train"])
    import_keras()

    from app.tasks.cube_trials import CubeTrials
    from app.tasks.template_model import build, compile_model, dice_of, losses

    def compiled(changed, model, steps):
        compile_model(changed, model, losses(changed, template), steps)

    return CubeTrials(
        loaded,
        lambda changed: build(changed, template),
        compiled,
        dice_of,
        lambda changed: tuple(losses(changed, template)),
    )


def _served():
    from app.export.saved_model import export_template
    from app.training.template_contract import TemplateContract

    return TemplateContract, export_template, "signature 'segment', cubes to masks"


def _describe(config):
    import_keras()

    from app.data.cube_batches import CubeBatches
    from app.tasks.dry_run import tell_cost
    from app.tasks.template_model import build, compile_model, losses
    from segmentation.template import Template

    data, template = config.data, None
    if data.phantom is None:
        parts = _parts(config, None)
        check_cubes(config, len(parts["train"]), len(data.labels or [1]))
        loaded = _loaded(config, parts, ("train", "validate", "test"))
        print(", ".join(f"{name}: {len(found)} volumes" for name, found in loaded.items()))
        train = loaded["train"]
        template = find_template(config, train)
    else:
        train = stand_ins(data)
        if config.template.file is not None or config.template.kind == "mask":
            template = find_template(config, [])
    if template is not None:
        print(f"template: {template.topologies()[0]}")
    else:  # it costs as much as one that will be built
        members = config.template.members if config.template.kind == "bank" else 1
        labels = tuple(data.labels or (1,))
        template = Template(np.ones((members, *[data.size] * 3, len(labels)), "float32"), data.spacing_mm, labels)
    print(config_text(config))
    compared = losses(config, template)

    def prepare(batch):
        batches = CubeBatches(train, batch, config.seed, config.augmentation, 0, tuple(compared))
        model = build(config, template)
        compile_model(config, model, compared, len(batches))
        return model, batches

    batches = CubeBatches(train, config.training.batch_size, config.seed, config.augmentation)
    cost = cube_cost(config, len(train), len(template.labels))
    tell_cost(cost, prepare, batches.batch_size, config.training.epochs, len(batches))
