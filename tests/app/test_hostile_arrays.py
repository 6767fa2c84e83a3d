"""Arrays of strangers: official files, HDF5, templates, populations."""

import copy
import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from app.data.official import read_official
from app.errors import UserError
from app.finite import check_finite
from app.systems.kidney.source import POPULATION, read_population
from app.systems.template.file import write_template
from segmentation.template import Template
from tests.app.hostile_model_cases import (
    WEIGHTS,
)

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
