"""Models of strangers: no code of theirs runs, nothing large is built, and wrong numbers are no results."""

import io
import json
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest

from app.errors import UserError
from app.systems.opened import open_run
from app.training.archive import check_archive
from app.training.checkpoint import load_checkpoint
from nets.registration.voxelmorph import VoxelMorph
from tests.app.hostile_model_cases import CONTRACT, WEIGHTS


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


def test_a_contract_of_another_model(write):
    """Hyper-parameters that the network does not have would be set by nobody."""
    path = write()
    for change in ({"shape": [16, 16, 16], "spacing_mm": [1.0] * 3}, {"hyper": {"lambda": [0.0, 1.0]}}):
        with pytest.raises(UserError, match="copy both from one run"):
            opened(path, {**CONTRACT, **change}).predictor(None)
