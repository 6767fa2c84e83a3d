"""Models of strangers: no code of theirs runs, nothing large is built, and wrong numbers are no results."""

import copy
import dataclasses
import io
import json
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest

from app.data.official import read_official
from app.errors import UserError
from app.finite import check_finite
from app.systems.fov.contract import FovContract
from app.systems.kidney.contract import KidneyContract
from app.systems.kidney.source import POPULATION, read_population
from app.systems.opened import open_run
from app.systems.registration.contract import RegistrationContract
from app.systems.template.contract import TemplateContract
from app.systems.template.file import write_template
from app.training.archive import check_archive
from app.training.checkpoint import load_checkpoint
from nets.registration.voxelmorph import VoxelMorph
from segmentation.template import Template

CONTRACT = {
    "low_percentile": 0.5, "high_percentile": 99.5, "shape": [16, 16], "spacing_mm": [1.0, 1.0], "hyper": {},
    "best": {}, "structures": {}, "simulated": False, "background": "excluded",
}  # fmt: skip
KIDNEY = {"size": 16, "spacing_mm": 4.0, "strategy": "source", "simulated": True}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The members of a sound model file: dict from name to bytes."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model = VoxelMorph(rank=2, encoder=[4, 4], decoder=[4, 4], final=[4])
    model({"moving": np.zeros((1, 16, 16, 1), "float32"), "fixed": np.zeros((1, 16, 16, 1), "float32")})
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def write(parts, tmp_path):
    """Write a model file with some of its members replaced: `(**members) -> path`."""

    def make(compression=zipfile.ZIP_STORED, extra=(), **members):
        path = tmp_path / "model.keras"
        content = {**parts, **{name.replace("__", "."): value for name, value in members.items()}}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, value in [*content.items(), *extra]:
                archive.writestr(name, json.dumps(value) if isinstance(value, dict) else value)
        return path

    return make


def changed(parts, place, value):
    """The model's config with another value at a dotted place."""
    config = json.loads(parts["config.json"])
    *above, last = place.split(".")
    at = config
    for key in above:
        at = at[key]
    at[last] = value
    return config


def weights(parts, change):
    """The weights' file, changed."""
    content = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        change(file, next(name for name in names if not name.startswith("optimizer") and file[name].ndim > 1))
    return content.getvalue()


def refused(path, words, capfd):
    """One short line, before anything is built; nothing of the file ran."""
    with pytest.raises(UserError, match=words) as error:
        load_checkpoint(path)
    (line,) = error.value.problems
    assert str(path) in line
    assert len(line) - len(str(path)) < 300
    assert not os.path.exists("CANARY")
    assert "CANARY" not in capfd.readouterr().out


def opened(path, contract):
    """A model with a contract beside it."""
    path.with_suffix(".json").write_text(json.dumps(contract))
    return open_run(path)


def test_a_sound_model_loads(write):
    """What is refused too readily cannot be used."""
    path = write()
    check_archive(path)
    assert opened(path, CONTRACT).predictor(None).model.count_params() > 0


CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAA==", "defaults": None, "closure": None}}
LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": CODE}, "registered_name": None}


def call(module, name, config):
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


EVIL = {
    "lambda as a loss": ("compile_config.loss", CODE),
    "lambda layer as an optimiser": ("compile_config.optimizer", LAMBDA),
    "lambda layer in the config": ("config.objective", LAMBDA),
    "lambda as a name": ("config.name", CODE),
    "os.system": ("compile_config.optimizer", call("os", "system", {"command": "touch CANARY"})),
    "subprocess": ("compile_config.loss", call("subprocess", "Popen", {"args": ["touch", "CANARY"]})),
    "eval": ("compile_config.loss", call("builtins", "function", "eval")),
    "a function of ours": ("compile_config.loss", call("app.files", "write_text", {"path": "CANARY", "text": ""})),
    "a class under our name": ("compile_config.loss", call("nets.evil", "Evil", {})),
    "a module of ours": (
        "compile_config.loss",
        {**call("nets.unet", "keras", {}), "registered_name": "kerasmorph>keras"},
    ),
    "a download": ("config.objective", call("keras.utils", "get_file", {"origin": "file:///etc/passwd"})),
    "a SavedModel": ("config.objective", call("keras.layers", "TFSMLayer", {"filepath": "/tmp/x"})),
    "a word list": ("config.objective", call("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"})),
}


@pytest.mark.parametrize("kind", list(EVIL))
def test_code_of_strangers_does_not_run(parts, write, kind, capfd):
    """A model is data: opening a colleague's must be as safe as opening an image."""
    refused(write(config__json=changed(parts, *EVIL[kind])), "which no model of this project does", capfd)


@pytest.mark.parametrize("module", ["os", "subprocess", "keras.layers", "keras", "nets.registration.voxelmorph"])
def test_the_whole_is_one_of_ours(write, module, capfd):
    """The class is looked at before Keras imports what it names."""
    whole = {**call(module, "system", {"command": "touch CANARY"}), "registered_name": None}
    refused(write(config__json=whole), "no model of this project", capfd)


SIZES = {
    "features": ("config.encoder", [10**5, 10**5], "encoder"),
    "features that the weights do not have": ("config.encoder", [20000, 20000], "bytes of weights"),
    "layers": ("config.final", [8] * 5000, "5000 entries"),
    "steps": ("config.integration_steps", 10**9, "integration_steps: 1000000000"),
    "axes": ("config.rank", 200, "rank: 200"),
    "a long number": ("config.velocity_resolution", 10**30, "velocity_resolution"),
    "below nothing": ("config.integration_steps", -1, "integration_steps"),
    "a word": ("config.encoder", "x", "cannot be loaded"),
}


@pytest.mark.parametrize("kind", list(SIZES))
def test_sizes_that_no_network_has(parts, write, kind, capfd):
    """Keras would build it first and ask afterwards: minutes, and all of the memory."""
    place, value, words = SIZES[kind]
    refused(write(config__json=changed(parts, place, value)), words, capfd)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{{{", "no JSON"),
        (b"[1, 2]", "a list where"),
        (b"null", "NoneType where"),
        (b"[" * 10**5, "levels deep"),
        (b'{"a":' * 5000, "levels deep"),
        (b" " * 2**21, "longer than a megabyte"),
        (b"", "no JSON"),
    ],
)
def test_configs_that_are_none(write, content, words, capfd):
    """Recursion over a hundred thousand levels ends Python itself."""
    refused(write(config__json=content), words, capfd)


def other_shape(file, name):
    del file[name]
    file[name] = np.zeros((3, 3), "float32")


def elsewhere(file, name):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def claims(file, name):
    del file[name]
    file.create_dataset(name, (30000, 30000, 30), "float32", chunks=(1000, 1000, 30), fillvalue=1)


def packed(file, name):
    content = file[name][()]
    del file[name]
    file.create_dataset(name, data=content, compression="gzip")


def linked(link):
    def change(file, name):
        del file[name]
        file[name] = link if link is not None else h5py.SoftLink(f"/{name}")

    return change


def words(file, name):
    del file[name]
    file.create_dataset(name, (2,), h5py.string_dtype())


def spoilt(value):
    def change(file, name):
        file[name][...] = value

    return change


WEIGHTS = {
    "not numbers": (spoilt(np.nan), "not finite"),
    "infinite": (spoilt(-np.inf), "not finite"),
    "another file's bytes": (elsewhere, "lie in another file"),
    "an external link": (linked(h5py.ExternalLink("/tmp/x.h5", "/a")), "a link"),
    "a link to itself": (linked(None), "a link"),
    "a dangling link": (linked(h5py.SoftLink("/nowhere")), "a link"),
    "a claim of 100 GB in pieces": (claims, "stored in pieces"),
    "compressed": (packed, "stored in pieces"),
    "words": (words, "where numbers are expected"),
    "another shape": (other_shape, "cannot be loaded"),
}


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_weights_that_are_none(parts, write, kind, capfd):
    """NaN gave an image of zeros and exit code 0; an external dataset gave /etc/passwd."""
    change, expected = WEIGHTS[kind]
    refused(write(model__weights__h5=weights(parts, change)), expected, capfd)


def test_archives_that_are_none(parts, write, tmp_path, capfd):
    """A bomb of 20 MB, members that climb, and files cut short."""
    bomb = parts["model.weights.h5"] + bytes(2**26)
    refused(write(zipfile.ZIP_DEFLATED, model__weights__h5=bomb), "claims", capfd)
    refused(write(extra=[("../../CANARY", "x")]), "no model of this project", capfd)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = write(extra=[("config.json", "{}")])
    refused(twice, "no model of this project", capfd)
    whole = write().read_bytes()
    for name, content in {"short": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}.items():
        path = tmp_path / f"{name}.keras"
        path.write_bytes(content)
        refused(path, "no model, or damaged", capfd)
    os.mkfifo(tmp_path / "pipe.keras")
    (tmp_path / "folder.keras").mkdir()
    for name in ("pipe", "folder"):
        refused(tmp_path / f"{name}.keras", "give a regular file", capfd)


WRONG = {
    "shape": ["abc", 5, None, [10**9] * 2, [-32, 32], [], [32], [1.5, 2]],
    "spacing_mm": ["x", None, [1.0], [float("nan")] * 2, [0.0, 1.0], [1e9, 1.0]],
    "low_percentile": ["a", float("nan"), -50, None, 100],
    "high_percentile": [0, 0.5, 200, float("inf")],
    "background": ["none", 1],
    "hyper": [[1], {"lambda": [1]}, {"lambda": "ab"}, {"lambda": None}, {"lambda": [1.0, 0.0]}],
    "best": [{"lambda": 0.5}, {"lambda": "x"}, None, [1]],
    "structures": [[1, 2], {"1": 2}],
    "simulated": ["no", 1, None],
    "evil": [1],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_contracts_that_are_none(tmp_path, key, value):
    """Percentiles that are NaN gave an image of zeros and exit code 0."""
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**CONTRACT, key: value}))
    with pytest.raises(UserError, match="it belongs beside model.keras") as error:
        RegistrationContract.read(path)
    (line,) = error.value.problems
    assert len(line) - len(str(path)) < 260


@pytest.mark.parametrize("content", [b"", b"null", b"5", b'"abc"', b"[" * 10**5, b"\xff\xfe\x00{", b"{}"])
@pytest.mark.parametrize("kind", [RegistrationContract, FovContract, KidneyContract, TemplateContract])
def test_contracts_of_every_task(tmp_path, content, kind):
    """Seventeen of them ended in 'this is a fault of KerasMorph'."""
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="model.json"):
        kind.read(path)
    with pytest.raises(UserError, match="no such contract"):
        kind.read(tmp_path / "other.json")


def test_contracts_come_back(tmp_path):
    """What is written must be read, older ones too."""
    values = {**CONTRACT, "hyper": {"lambda": [0.0, 1.0]}, "best": {"lambda": 0.3}, "structures": {"3": "a"}}
    contract = read_from(tmp_path, RegistrationContract, values)
    contract = dataclasses.replace(contract, trained_on=("a", "b"), orientation="LPS")
    contract.write(tmp_path / "model.json")
    assert RegistrationContract.read(tmp_path / "model.json") == contract
    for kind, older in ((KidneyContract, KIDNEY), (FovContract, FOV), (TemplateContract, TEMPLATE)):
        contract = read_from(tmp_path, kind, older)
        contract.write(tmp_path / "model.json")
        assert kind.read(tmp_path / "model.json") == contract


def test_a_contract_of_another_model(write):
    """Hyper-parameters that the network does not have would be set by nobody."""
    path = write()
    for change in ({"shape": [16, 16, 16], "spacing_mm": [1.0] * 3}, {"hyper": {"lambda": [0.0, 1.0]}}):
        with pytest.raises(UserError, match="copy both from one run"):
            opened(path, {**CONTRACT, **change}).predictor(None)


GOOD = {"inshape": [16, 16], "nb_unet_features": [[4, 4], [4, 4, 4]], "int_steps": 5, "int_downsize": 2}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**GOOD, "inshape": [10**5] * 2}, "inshape"),
        ({**GOOD, "inshape": "abc"}, "inshape"),
        ({**GOOD, "inshape": None}, "inshape"),
        ({**GOOD, "inshape": [-16, 16]}, "inshape"),
        ({**GOOD, "nb_unet_features": [[10**6] * 4] * 2}, "nb_unet_features"),
        ({**GOOD, "nb_unet_features": [[9000] * 4] * 2}, "bytes of weights"),
        ({**GOOD, "nb_unet_features": 8, "nb_unet_levels": 10**7}, "nb_unet_levels"),
        ({**GOOD, "int_steps": 10**9}, "int_steps"),
        ([], "names no class"),
    ],
)
def test_official_files_of_sizes_that_no_network_has(tmp_path, config, words):
    """A file of a kilobyte must not take the machine."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": config})
        file["model_weights/a/a/kernel:0"] = np.zeros((3, 3, 2, 4), "float32")
    with pytest.raises(UserError, match=words):
        read_official(path)


@pytest.mark.parametrize("kind", [name for name in WEIGHTS if name != "another shape"])
def test_official_files_of_strangers(tmp_path, kind):
    """The same as of models: /etc/passwd could become weights."""
    path = tmp_path / "model.h5"
    change, expected = WEIGHTS[kind]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": GOOD})
        file["model_weights/a/kernel:0"] = np.zeros((9, 16), "float32")
        change(file, "model_weights/a/kernel:0")
    with pytest.raises(UserError, match=expected):
        read_official(path)


@pytest.mark.parametrize("described", ["[]", "5", "[" * 9000, '{"class_name": {}, "config": {}}', np.arange(5), "{"])
def test_official_configs_that_are_none(tmp_path, described):
    """Eight of them were 'our fault'."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = described
    with pytest.raises(UserError, match="model_config"):
        read_official(path)


def test_groups_within_themselves(tmp_path):
    """A loop of hard links has no end."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": GOOD})
        file["model_weights/a/b"] = file.create_group("model_weights/a/c")
        file["model_weights/a/c/d"] = file["model_weights/a"]
    with pytest.raises(UserError, match="a group that holds itself"):
        read_official(path)


def test_results_that_are_no_numbers():
    """An image of NaN opens in no viewer, and its mean is NaN in every table."""
    array = np.zeros((4, 4), "float32")
    assert check_finite(array, "x") is array
    assert check_finite(np.zeros(3, "int16"), "x").dtype == "int16"
    for value in (np.nan, np.inf):
        spoiled = copy.copy(array)
        spoiled[1, 1] = value
        with pytest.raises(UserError, match="x: 1 of 16 numbers are NaN or infinite"):
            check_finite(spoiled, "x")


def test_a_template_of_no_numbers_is_not_written(tmp_path):
    """A mean of masks that went wrong would be deformed into every image."""
    distances = np.zeros((1, 8, 8, 8, 1), "float32")
    distances[0, 4, 4, 4, 0] = np.nan
    with pytest.raises(UserError, match="distances: 1 of 512 numbers are NaN or infinite"):
        write_template(tmp_path / "t.nii.gz", Template(distances, 2.0, (1,)))
    assert not list(tmp_path.iterdir())


def test_a_population_of_strangers(tmp_path):
    """The gate's file lies beside a model: pickles run code, and a claim of a terabyte takes the machine."""
    good = {"mean": np.zeros(3), "covariance": np.eye(3), "count": np.array(9)}
    path = tmp_path / POPULATION
    np.savez_compressed(path, **good)
    assert read_population(tmp_path, 3)[2] == 9
    for change, words in (
        ({"mean": np.array([None, {}])}, "Python objects"),
        ({"mean": np.array([0.0, np.nan, 1.0])}, "NaN or infinite"),
        ({"covariance": np.eye(4)}, "other shapes"),
        ({"mean": np.zeros(4), "covariance": np.eye(4)}, "other shapes"),  # of another network
        ({"count": np.array(-1)}, "other shapes"),
    ):
        np.savez_compressed(path, **{**good, **change})
        with pytest.raises(UserError, match=words):
            read_population(tmp_path, 3)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", header.getvalue())
    for content in (path.read_bytes(), b"", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="missing or damaged"):
            read_population(tmp_path, 3)


FOV = {
    "size": 32, "context": 0, "simulated": True,
    "decision": {"classes": ["none", "legs", "spine"], "least_mm": 60.0, "skip": 40.0, "temperature": 1.0,
                 "sharpness": 0.5, "slope": 1.0, "shift": 0.0, "interval_share": None},
}  # fmt: skip
TEMPLATE = {
    "size": 16, "spacing_mm": 4.0, "labels": [1, 2], "transform": "local", "diffeomorphic": True, "simulated": True,
    "topologies": [{"components": 1, "tunnels": 0, "cavities": 0}] * 3,
}  # fmt: skip


def read_from(folder, kind, values):
    (folder / "model.json").write_text(json.dumps(values))
    return kind.read(folder / "model.json")


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": -1.0}, {"temperature": 1e-300}, {"classes": []}, {"classes": ["a", "a", "b"]},
        {"classes": [1, 2, 3]},
        {"least_mm": -1.0}, {"skip": 1e30}, {"sharpness": -1.0}, {"interval_share": 2.0},
    ],
)  # fmt: skip
def test_decisions_that_are_none(tmp_path, change):
    """A temperature below 0 turns the decision round: legs became pelvis, with exit code 0."""
    assert read_from(tmp_path, FovContract, FOV).size == 32
    with pytest.raises(UserError, match="model.json"):
        read_from(tmp_path, FovContract, {**FOV, "decision": {**FOV["decision"], **change}})


@pytest.mark.parametrize(
    "change",
    [
        {"labels": []}, {"labels": [0, 1]}, {"labels": [1, 1]}, {"labels": [70000, 1]}, {"labels": [1]},
        {"topologies": []},
        {"topologies": [{"components": -1, "tunnels": 0, "cavities": 0}] * 3}, {"transform": "evil"},
    ],
)  # fmt: skip
def test_templates_that_are_none(tmp_path, change):
    """Labels without a topology ended in 'this is a fault of KerasMorph' after half of the results."""
    assert read_from(tmp_path, TemplateContract, TEMPLATE).labels == (1, 2)
    with pytest.raises(UserError, match="model.json"):
        read_from(tmp_path, TemplateContract, {**TEMPLATE, **change})
    with pytest.raises(UserError, match="strategy"):
        read_from(tmp_path, KidneyContract, {**KIDNEY, "strategy": "evil"})


def test_a_model_of_another_task_is_no_model(tmp_path):
    """A kidney's network under a template's contract wrote a mask as if it were a template's."""
    fov, template = read_from(tmp_path, FovContract, FOV), read_from(tmp_path, TemplateContract, TEMPLATE)
    classifier, deformer = (
        {"size": 32, "channels": 1, "classes": 3},
        {"size": 16, "transform": "local", "structures": 2},
    )
    kidney, unet = read_from(tmp_path, KidneyContract, KIDNEY), {"filters": [4, 8], "structures": 1}
    assert fov.misfit("SliceClassifier", classifier) is None
    assert template.misfit("TemplateNetwork", deformer) is None
    assert kidney.misfit("SegmentationUNet", unet) is None
    for contract, name, config in (
        (fov, "SegmentationUNet", unet),
        *((fov, "SliceClassifier", {**classifier, key: 48}) for key in classifier),
        (template, "SegmentationUNet", {**unet, "structures": 2}),
        *((template, "TemplateNetwork", {**deformer, key: 3}) for key in deformer),
        (kidney, "SliceClassifier", classifier),
        (kidney, "SegmentationUNet", {**unet, "structures": 2}),
        (kidney, "SegmentationUNet", {"filters": [4] * 6}),
    ):
        assert "says" in contract.misfit(name, config)


def doubled(group):
    """Twenty-two levels, each with two links to the next: four million ways."""
    for level in range(22):
        below = group.create_group(f"x{level}")
        group[f"y{level}"] = below
        group = below


def many(group):
    group["a"] = np.zeros(2)
    for number in range(21_000):
        group[str(number)] = group["a"]


def unreadable(group):
    h5py.h5g.create(group.id, b"\xff\xfe name")


ODD = {
    "groups linked twice on each level": (doubled, "groups within groups|more than 20000 parts"),
    "one array under thousands of names": (many, "more than 20000 parts"),
    "a type instead of an array": (lambda group: group.__setitem__("t", np.dtype("f4")), "neither numbers nor a group"),
    "an array of nothing": (lambda group: group.create_dataset("e", dtype="f4"), "where numbers are expected"),
    "a name that is no text": (unreadable, "cannot be read|a link|neither"),
}


@pytest.mark.parametrize("kind", list(ODD))
def test_odd_parts_of_hdf5(tmp_path, kind):
    """Thirty kilobytes took a minute and more; others were 'our fault'."""
    path = tmp_path / "model.h5"
    make, expected = ODD[kind]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "VxmDense", "config": GOOD})
        make(file.create_group("model_weights"))
    with pytest.raises(UserError, match=expected):
        read_official(path)
