"""Task `convert`: bring an official VoxelMorph or HyperMorph `.h5` file here."""

import dataclasses

from app.config import config_text
from app.data.official import read_official
from app.errors import UserError, list_problems
from app.files import write_json
from app.quiet import import_keras
from app.systems.registration.checks import check_image
from app.systems.registration.contract import RegistrationContract
from app.training.run_folder import RunFolder, log

# Above float32's rounding through a whole network, far below what an eye or a Dice can see.
LARGEST_DIFFERENCE = 1e-3


def run(config, dry_run=False):
    """Convert, and write `model.keras`, its contract and a SavedModel.

    Args:
        config: `ConvertConfig`.
        dry_run: Check and print only.

    Raises:
        UserError: If the file, its architecture or an image is wrong.
    """
    folder = RunFolder(config.output)
    folder.check(config, ("output",))
    class_name, options, weights = read_official(config.file)
    pair = _read_pair(config, len(options.get("inshape", ())))
    keras = import_keras()
    keras.utils.set_random_seed(config.seed)
    model = _build(config, class_name, options, weights)
    architecture = model.architecture
    wrong = [image.shape[:-1] for image in pair or () if image.shape[:-1] != architecture.shape]
    if wrong:
        raise UserError(
            f"moving, fixed: shape {wrong[0]}, but the original takes {architecture.shape} alone; "
            "crop or pad the images to it, or leave moving and fixed out to verify on random ones"
        )
    print(f"found {class_name}: {_describe(architecture)}; {model.count_params():,} parameters")
    if dry_run:
        print(config_text(config) + "dry run: nothing was written")
        return
    _convert(config, folder, model, class_name, pair)


def _build(config, class_name, options, weights):
    """The model of the file, with its weights."""
    from nets.legacy import OfficialVoxelMorph, load_official_weights
    from nets.legacy_architecture import read_architecture

    try:
        architecture = read_architecture(class_name, options)
        names = [section.name for section in config.hyper]
        if architecture.hyper and (len(set(names)) != len(names) or len(names) != architecture.hyper):
            raise UserError(
                f"hyper: names {', '.join(names)}, but {config.file} has {architecture.hyper} hyper-parameters; "
                "name each of them once, in the order of the file's input"
            )
        model = OfficialVoxelMorph(
            architecture, [section.model_dump() for section in config.hyper[: architecture.hyper]]
        )
    except ValueError as error:
        raise UserError(
            f"{config.file}: this architecture cannot be converted; found {error}; convertible are VxmDense, "
            "HyperVxmDense and VxmDenseSemiSupervisedSeg of VoxelMorph 0.2"
        ) from None
    try:
        load_official_weights(model, weights)
    except ValueError as error:
        raise UserError(f"{config.file}: its weights do not fit its own config: {error}; the file is damaged") from None
    return model


def _convert(config, folder, model, class_name, pair):
    from app.export.saved_model import export_model
    from app.systems.registration.registrar import NetworkRegistrar
    from app.tasks.convert_report import write_report
    from app.training.checkpoint import save_model

    outputs, differences = None, {}
    if config.verify:
        outputs, differences, pair = _compared(config, model, class_name, pair)
    folder.open(config)
    contract = _contract(config, model)
    endpoints = NetworkRegistrar(model, contract, config).endpoints()
    exported, difference = export_model(model, contract, folder.path / "saved_model", endpoints)  # or it is not finite
    save_model(model, folder.model)
    contract.write(folder.contract)
    measures = {
        "class": class_name,
        "parameters": model.count_params(),
        "saved_model_difference": difference,
        "difference_from_original": differences,
        "architecture": dataclasses.asdict(model.architecture),
    }
    write_json(folder.path / "metrics.json", measures)
    log(f"model: {folder.model}; use it with the tasks register, evaluate and export")
    log(f"SavedModel: {exported}, difference {difference:.1e} in a process that imports TensorFlow alone")
    log(f"report: {write_report(config, folder, measures, pair if outputs else None, outputs)}")


def _compared(config, model, class_name, pair):
    """The model's outputs for a pair, their differences from the original's, the pair."""
    from app.export.verify_official import compare_with_original, seeded_pair

    pair = pair or seeded_pair(model.architecture.shape, config.seed)
    outputs, differences = compare_with_original(model, config.file, class_name, *pair)
    worst = max(differences.values())
    print(f"largest difference from VoxelMorph 0.2: {worst:.1e}")
    if not worst <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"the converted model differs from the original: {differences}")
    return outputs, differences, pair


def _contract(config, model):
    shape = model.architecture.shape
    return RegistrationContract(
        shape=list(shape),
        spacing_mm=[config.spacing_mm] * len(shape),
        hyper={hyper.name: [hyper.low, hyper.high] for hyper in model.hyper_parameters},
        best={},
        structures={},
        intensity=config.intensity_rule,
    )


def _read_pair(config, rank):
    """Moving and fixed image in [0, 1], `(*shape, 1)`, or None."""
    if (config.moving is None) != (config.fixed is None):
        raise UserError("moving and fixed: one is missing; give both, or none to verify on random images")
    if config.moving is None:
        return None
    problems, pair = [], []
    for path in (config.moving, config.fixed):
        volume, lines = check_image(path, rank, config.nan)
        problems += lines
        if not lines:
            pair.append(config.unit_range(volume.array, path)[..., None])
    list_problems(problems)
    return pair


def _describe(a):
    parts = [
        f"shape {'x'.join(map(str, a.shape))}",
        f"velocity at 1/{a.velocity_resolution}",
        f"{a.integration_steps} integration steps at 1/{a.integration_resolution}"
        if a.integration_steps
        else "no integration",
    ]
    parts += ["bidirectional"] * a.bidirectional + ["probabilistic (its mean is taken)"] * a.probabilistic
    return ", ".join(parts + ([f"hyper-parameters: {a.hyper}"] if a.hyper else []))
