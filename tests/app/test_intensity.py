"""Intensities: one rule, here and in exported graphs, and what a few bright voxels may not do."""

import json

import keras
import numpy as np
import pytest

from app.data.intensity import IntensityRule
from app.errors import UserError
from app.systems.fov.contract import FovContract
from app.systems.kidney.contract import KidneyContract
from app.systems.registration.contract import RegistrationContract
from nets.ops.intensity import to_unit_range

RULES = [{}, {"background": "included"}, {"low_percentile": 0, "high_percentile": 100}, {"low_percentile": 2}]


def brain(rng, background=0.0):
    """A noisy ellipsoid of values 100 to 300 around which there is nothing."""
    grid = np.stack(np.meshgrid(*3 * [np.linspace(-1, 1, 24)], indexing="ij"))
    inside = (grid**2).sum(0) < 0.6
    return np.where(inside, rng.uniform(100, 300, inside.shape), background).astype("float32")


@pytest.mark.parametrize("keys", RULES)
@pytest.mark.parametrize("background", [0.0, -1024.0, 40.0])
def test_the_rule_is_the_same_in_memory_and_in_a_graph(rng, keys, background):
    """A served model would see another image than the network was trained on."""
    rule, image = IntensityRule(**keys), brain(rng, background)
    graph = keras.ops.convert_to_numpy(to_unit_range(image[None, ..., None], **rule.model_dump()))[0, ..., 0]
    np.testing.assert_allclose(rule.unit_range(image), graph, atol=1e-5)


@pytest.mark.parametrize("kind", ["electrode", "one voxel", "dark artefact", "vessels"])
def test_a_few_extreme_voxels_do_not_flatten_the_rest(rng, kind, capsys):
    """An electrode would leave a thirtieth of the values for the whole brain, and the network would see nothing."""
    image = brain(rng)
    hurt = image.copy()
    if kind == "electrode":
        hurt[4:6, 4:6, 4:6] = 30 * image.max()
    elif kind == "one voxel":
        hurt[3, 3, 3] = 1e6
    elif kind == "dark artefact":
        hurt[3:5, 3:5, 3:5] = -1e5
    else:
        hurt[rng.random(image.shape) < 0.0005] = 5000.0
    rule, untouched = IntensityRule(), hurt == image
    apart = np.abs(rule.unit_range(hurt, "hurt.nii") - rule.unit_range(image))[untouched]
    assert apart.max() < 0.02 if kind != "dark artefact" else apart.max() < 0.4  # the background is no longer smallest
    assert capsys.readouterr().out == ""


def test_a_range_that_flattens_is_said(rng, capsys):
    """By minimum and maximum, as runs before had it, such an image is black: whoever gives it must know."""
    image = brain(rng)
    image[4:6, 4:6, 4:6] = 30 * image.max()
    rule = IntensityRule(low_percentile=0, high_percentile=100, background="included")
    rule.unit_range(image, "hurt.nii")
    line = capsys.readouterr().out
    assert line.startswith("note: hurt.nii: nine tenths of its voxels share 2.")
    assert "of the range from 0 to 89" in line


def test_images_without_contrast():
    """Dividing by nothing gives NaN, which a network spreads over everything."""
    with pytest.raises(UserError, match="every voxel is 3"):
        IntensityRule().unit_range(np.full((4, 4, 4), 3))
    mask = np.zeros((6, 6, 6))
    mask[2:4, 2:4, 2:4] = 9
    np.testing.assert_array_equal(IntensityRule().unit_range(mask), mask / 9)
    nearly = np.zeros((6, 6, 6), "int16")
    nearly[0, 0, :2] = 1, 5
    assert IntensityRule().unit_range(nearly).max() == 1.0


def test_models_of_before_keep_their_rule(tmp_path):
    """Their networks were trained on images prepared so; another rule would make them worse without a word."""
    old = {"low_percentile": 0.0, "high_percentile": 100.0, "shape": [8, 8], "spacing_mm": [1.0, 1.0]}
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**old, "hyper": {}, "best": {}, "structures": {}}))
    rule = IntensityRule(low_percentile=0, high_percentile=100, background="included")
    assert RegistrationContract.read(path).intensity == rule
    classes = {"classes": ["none", "legs", "spine"]}
    path.write_text(json.dumps({"size": 16, "context": 0, "simulated": True, "decision": classes}))
    rule = IntensityRule(low_percentile=1.0, high_percentile=99.5, background="included")
    assert FovContract.read(path).intensity == rule
    path.write_text(json.dumps({"size": 16, "spacing_mm": 4.0, "strategy": "source", "simulated": True}))
    assert KidneyContract.read(path).intensity == IntensityRule()
