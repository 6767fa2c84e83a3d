"""The thesis' networks, weight for weight."""

import keras
import numpy as np
import pytest

from nets.classification.slice_classifier import SliceClassifier

# The thesis prints the weights of three networks (section 2.6.3), each 4 more than its text makes, and at 96 x 96:
# its own 64 x 48 x 48 x 4096 = 603,979,776 is at that size too, where its text says 128 x 128.
PRINTED = {
    6_713_226: {"blocks": 5, "convolutions": 1, "filters": 64},
    5_468_778: {"blocks": 5, "convolutions": 2, "filters": 32},
    13_927_114: {"blocks": 4, "convolutions": 3, "filters": 64, "separable": True},
}


@pytest.mark.parametrize("printed", list(PRINTED))
def test_the_networks_are_the_thesis(printed):
    """Another count would be another family, and its tables no comparison."""
    assert SliceClassifier(6, 96, **PRINTED[printed]).count_params() == printed - 4


def test_the_flaw_is_there_and_the_other_head_has_it_not():
    """One block of 64 filters: 604 million weights in one layer; the mean of the map first: none of them."""
    keras.backend.clear_session()
    with keras.device("cpu"):
        flawed = {"blocks": 1, "filters": 8, "units": (4096,)}
        assert SliceClassifier(6, 96, **flawed).get_layer("dense_0").kernel.shape == (8 * 48 * 48, 4096)
    assert SliceClassifier(6, 96, blocks=1, head="pool").count_params() < 2000


@pytest.mark.parametrize("options", [{"head": "pool"}, {"separable": True, "units": (8,), "channels": 3}])
def test_saved_and_loaded_alike(options, tmp_path, rng):
    """A model that is not what was trained once it is loaded."""
    model = SliceClassifier(7, 16, blocks=2, filters=4, **options)
    slices = rng.random((2, 16, 16, options.get("channels", 1)), dtype="float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found = [keras.ops.convert_to_numpy(item({"slices": slices})) for item in (model, again)]
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert found[0].shape == (2, 7)


@pytest.mark.parametrize("options", [{"head": "none"}, {"blocks": 5}])
def test_what_cannot_be_built_is_refused(options):
    """Five poolings of 16 rows leave nothing."""
    with pytest.raises(ValueError, match="Expected"):
        SliceClassifier(7, 16, **options)
