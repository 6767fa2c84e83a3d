"""Networks: sizes, shapes, what the hyper-parameters do, saving, and that they learn."""

import keras
import numpy as np
import pytest

from nets.layers import GENERATORS, ConvUpsampled
from nets.ops import sample
from nets.precision import in_precision
from nets.registration.hyper_parameter import HyperParameter
from nets.registration.hypermorph import HyperMorph
from nets.registration.voxelmorph import VoxelMorph
from nets.unet import unet
from tests.nets.model_cases import pair
from tests.nets.test_ops import numpy

SMALL = {"encoder": (4, 4), "decoder": (4, 4), "final": (4,)}


def test_parameter_counts_are_voxelmorphs():
    """Another architecture could not import VoxelMorph's weights or be compared with it."""
    assert VoxelMorph(rank=3, velocity_resolution=1).count_params() == 327_331
    assert VoxelMorph(rank=3).count_params() == 313_507
    assert VoxelMorph(rank=2, velocity_resolution=1).count_params() == 109_170
    assert VoxelMorph(rank=2).count_params() == 104_562


def test_full_generator_is_the_papers_size():
    """The paper's generator: 64 units for each of the 313,507 weights, and the base kernels."""
    model = HyperMorph(rank=3, features="images", generator="full")
    hypernetwork = 2 * 64 + 3 * (64 * 64 + 64)
    assert model.count_params() == 313_507 * 65 + hypernetwork


@pytest.mark.parametrize("features", ["images", "forces"])
@pytest.mark.parametrize("shape", [(19, 23), (13, 18, 15)])
def test_any_size_in_same_size_out(rng, features, shape):
    """Users' images do not divide by 16; a shape error there is the field's commonest complaint."""
    model = HyperMorph(rank=len(shape), features=features, **SMALL)
    outputs = model.predict_on_batch(pair(rng, *shape, batch=2, hyper=[[0.1], [0.9]]))
    assert outputs["moved"].shape == (2, *shape, 1)
    assert outputs["displacement"].shape == (2, *shape, len(shape))


@pytest.mark.parametrize("generator", list(GENERATORS))
def test_each_sample_has_its_own_hyper_parameters(rng, generator):
    """A kernel shared across the batch would give every sample the first one's smoothness."""
    model = HyperMorph(rank=2, generator=generator, **SMALL)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.05 * rng.normal(size=weight.shape))
    x = pair(rng, 16, 16, batch=2, hyper=[[0.0], [1.0]])
    together = model.predict_on_batch(x)["velocity"]
    for index in range(2):
        alone = model.predict_on_batch({key: value[index : index + 1] for key, value in x.items()})["velocity"]
        np.testing.assert_allclose(together[index], alone[0], atol=1e-4)
    same = model.predict_on_batch({**x, "hyper": np.zeros((2, 1), "float32")})["velocity"]
    assert np.abs(same[1] - together[1]).max() > 1e-3


@pytest.mark.parametrize("generator", list(GENERATORS))
def test_generators_begin_as_one_network(rng, generator):
    """At the start lambda must change (nearly) nothing, or some values begin far from He's scale."""
    model = HyperMorph(rank=2, generator=generator)
    moved = [model.predict_on_batch(pair(np.random.default_rng(1), 32, 32, hyper=[[v]]))["velocity"] for v in (0, 1)]
    assert np.abs(moved[0] - moved[1]).max() < 0.5 * np.abs(moved[0]).max()


@pytest.mark.parametrize("kind", ["plain", "hyper"])
def test_saved_model_answers_alike(rng, tmp_path, kind):
    """A model that changes when it is saved is worthless to whoever loads it."""
    model = (
        VoxelMorph(rank=2, **SMALL) if kind == "plain" else HyperMorph(rank=2, hyper=[HyperParameter("gamma")], **SMALL)
    )
    model.compile("adam")
    x = pair(rng, 16, 16, hyper=None if kind == "plain" else [[0.4]])
    model.train_on_batch(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(x)["moved"], model.predict_on_batch(x)["moved"])
    assert loaded.objective == model.objective
    assert int(loaded.optimizer.iterations) == 1


HYPERS = [
    ([HyperParameter("lambda")], {}),
    ([HyperParameter("lambda"), HyperParameter("ncc_window", 3, 9)], {}),
    ([HyperParameter("lambda"), HyperParameter("nmi_bins", 8, 32)], {"similarity": "nmi"}),
    ([HyperParameter("lambda"), HyperParameter("gamma")], {"labels": 2}),
    ([HyperParameter("lambda", 0.01, 0.99, "log_odds")], {"similarity": "mse"}),
    ([HyperParameter("lambda")], {"similarity": "mi"}),
]


@pytest.mark.parametrize(("hyper", "objective"), HYPERS)
def test_fit_lowers_the_loss(rng, hyper, objective):
    """Every supported hyper-parameter must reach the loss, and the loss must go down."""
    keras.utils.set_random_seed(0)
    model = HyperMorph(rank=2, hyper=hyper, objective=objective, **SMALL)
    model.compile(keras.optimizers.Adam(3e-3))
    x = pair(rng, 24, 24, batch=2)
    x["hyper"] = np.array([[each.low + 0.3 * (each.high - each.low) for each in hyper]] * 2, "float32")
    y = {
        name: (x[name[:-7]] > 0.6).astype("uint8") + (x[name[:-7]] > 0.3) for name in ("moving_labels", "fixed_labels")
    }
    history = model.fit(x, y if objective.get("labels") else None, epochs=30, batch_size=2, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 1e-3
    assert ("overlap" in history) == bool(objective.get("labels"))


def test_unet_refuses_unequal_widths():
    """Mismatched levels would fail deep inside a concatenation, with a message nobody understands."""
    with pytest.raises(ValueError, match="decoder"):
        unet(keras.Input((16, 16, 2)), None, (8, 8), (8,))


@pytest.mark.parametrize("kind", ["plain", "hyper"])
def test_half_precision_leaves_fields_in_float32(rng, kind):
    """A displacement in half precision would come in steps of a tenth of a voxel."""
    keras.utils.set_random_seed(0)
    model = VoxelMorph(rank=3, **SMALL) if kind == "plain" else HyperMorph(rank=3, **SMALL)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.05 * rng.normal(size=weight.shape))
    x = pair(rng, 16, 16, 16, hyper=None if kind == "plain" else [[0.4]])
    half = in_precision(model, "bfloat16")
    assert half.get_layer("encoder_0" if kind == "plain" else "fine_encoder_0").compute_dtype == "bfloat16"
    outputs, full = half.predict_on_batch(x), model.predict_on_batch(x)
    size = np.abs(full["displacement"]).max()
    assert size > 0.01
    for name, value in outputs.items():
        assert value.dtype == np.float32
        # More distinct values than half precision has within an octave: nothing was rounded on the way.
        assert len(np.unique(value)) > 1000 or name == "velocity"
    np.testing.assert_allclose(outputs["displacement"], full["displacement"], atol=0.05 * size)
    np.testing.assert_allclose(outputs["moved"], numpy(sample(x["moving"], outputs["displacement"])), atol=1e-6)


def test_precision_is_saved_with_the_model(tmp_path):
    """A model trained in half precision must not need twice the memory at inference, unasked."""
    model = VoxelMorph(rank=2, precision="bfloat16", **SMALL)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("encoder_0").compute_dtype == "bfloat16"
    assert in_precision(loaded, "float32").get_layer("encoder_0").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(ValueError, match="precision"):
        VoxelMorph(rank=2, precision="int8")


@pytest.mark.parametrize("rank", [2, 3])
def test_decoder_convolution_equals_upsampling_and_joining(rng, rank):
    """The short cut must be the same convolution, or no official weights fit."""
    coarse = rng.normal(size=(2, *(3, 4, 5)[:rank], 6)).astype("float32")
    skip = rng.normal(size=(2, *(6, 8, 10)[:rank], 4)).astype("float32")
    layer = ConvUpsampled(7)
    found = numpy(layer(coarse, skip))
    upsampled = coarse
    for axis in range(rank):
        upsampled = np.repeat(upsampled, 2, axis=axis + 1)
    joined = np.concatenate([upsampled, skip], axis=-1)
    expected = numpy(keras.ops.conv(joined, layer.kernel, padding="same"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
