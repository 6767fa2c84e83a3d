"""Transfer layers: identity before training, inverse, recovery of a known transform, gate."""

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nets.ops.affine import affine_to_displacement, invert_affine, parameters_to_affine
from nets.ops.sample import sample
from nets.segmentation_unet import SegmentationUNet, convolution_names
from transfer.adapted_unet import Identity, adapted
from transfer.geometric_transform import GeometricTransform, UndoTransform
from transfer.population_gate import describing_network, fit_gate
from transfer.strategies import adapt_statistics, added_parameters, start
from transfer.strategy import STRATEGIES

numpy = keras.ops.convert_to_numpy


@pytest.fixture
def source():
    keras.utils.set_random_seed(0)
    model = SegmentationUNet(filters=(4, 6, 8, 10), batch_normalisation=True)
    for layer in model.layers:  # statistics of a trained network are not 0 and 1
        if "normalised" in layer.name:
            layer.moving_mean.assign(0.1 * np.arange(layer.moving_mean.shape[0]))
    return model


@pytest.fixture
def images(rng):
    return rng.random((2, 16, 16, 24, 1), dtype="float32")


def test_the_network_is_the_thesis():
    """Fifteen convolutions, eight before the first upsampling, 16 million weights: else times and counts compare to
    nothing."""
    model = SegmentationUNet()
    names = convolution_names(model)
    assert len(names) == 15
    assert [name.startswith(("encoder", "decoder_2")) for name in names] == [True] * 8 + [False] * 7
    assert 15.5e6 < model.count_params() < 16.5e6


@pytest.mark.parametrize("name", [name for name, strategy in STRATEGIES.items() if strategy.added])
def test_an_adapted_network_begins_as_the_source(name, source, images):
    """A network that is worse from the start must first unlearn."""
    model = start(STRATEGIES[name], source)
    assert np.array_equal(numpy(model({"image": images})), numpy(source({"image": images})))
    assert added_parameters(model) > 0


TRAINED = [name for name, strategy in STRATEGIES.items() if strategy.from_source and strategy.trains != "statistics"]


@pytest.mark.parametrize("name", TRAINED)
def test_frozen_means_frozen(name, source, images):
    """A statistic that drifts changes the source population's masks."""
    strategy = STRATEGIES[name]
    model = start(strategy, source, layers=3 if strategy.trains in ("first", "last") else None)
    if name == "gated":  # closed for these images, were they not for training
        gate = model.get_layer("gate")
        gate.decide_by(np.zeros((56, 1)), -np.ones(1))
    before = {weight.path: numpy(weight) for weight in model.weights}
    trained = {weight.path for weight in model.trainable_weights}
    own = {weight.path for layer in model.layers if layer.trainable for weight in layer.weights}
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=keras.backend.backend() == "jax")
    for _ in range(3):
        model.train_on_batch({"image": images}, np.ones_like(images))
    after = {weight.path: numpy(weight) for weight in model.weights}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed
    assert changed <= own
    assert trained, name
    expected = {"all": 15, "first": 3, "last": 3}.get(strategy.trains)
    if expected:
        convolutions = {layer.name for layer in model.layers if layer.name in convolution_names(model)}
        assert len({path for path in changed if path.split("/")[-2] in convolutions and "kernel" in path}) == expected
    else:
        assert all("added_" in path for path in changed)


def test_statistics_alone_are_adapted(source, rng):
    """Moving statistics become those of all new volumes alike; a weight that changed would be forgetting."""
    model = start(STRATEGIES["statistics"], source)
    volumes = [share * rng.random((1, 16, 16, 16, 1), dtype="float32") for share in np.linspace(0.1, 0.9, 6)]
    before = {weight.path: numpy(weight) for weight in model.weights}
    adapt_statistics(model, volumes)
    after = {weight.path: numpy(weight) for weight in model.weights}
    changed = {path.split("/")[-1] for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {"moving_mean", "moving_variance"}
    first = keras.Model(model.inputs, model.get_layer("encoder_0_0").output)
    maps = np.concatenate([numpy(first({"image": volume})) for volume in volumes])
    found = numpy(model.get_layer("encoder_0_0_normalised").moving_mean)
    np.testing.assert_allclose(found, maps.mean(axis=(0, 1, 2, 3)), rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match="no statistics"):
        start(STRATEGIES["statistics"], SegmentationUNet(filters=(4, 6)))


def test_inverse_undoes_forward(rng):
    """A mask that comes back shifted is a wrong volume; a hundredth of a voxel is not."""
    raw = rng.uniform(-1, 1, (20, 9))
    parameters = np.c_[8 * raw[:, :3], 45 * raw[:, 3:6], 2.0 ** raw[:, 6:]].astype("float32")
    matrix = parameters_to_affine(parameters)
    shape = (32, 32, 32)
    there, back = (numpy(affine_to_displacement(item, shape)) for item in (matrix, invert_affine(matrix)))
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    centre = (np.array(shape) - 1) / 2
    inverse = numpy(invert_affine(matrix))
    middle = grid + there
    again = np.einsum("bxy,b...y->b...x", inverse[:, :, :3], middle - centre)
    again = again + inverse[:, None, None, None, :, 3] + centre
    assert np.abs(again - grid).max() < 0.01
    assert np.abs(back).max() > 1.0, "the transforms were too small to show anything"


def test_masks_come_back_on_their_place(rng):
    """Moved, and moved back by UndoTransform: a smooth volume is itself again inside the field."""
    volume = gaussian_filter(rng.random((1, 32, 32, 32, 1)), [0, 4, 4, 4, 0]).astype("float32")
    volume = (volume - volume.min()) / np.ptp(volume)
    matrix = parameters_to_affine(np.array([[2.0, -1, 1.5, 10, -15, 20, 1.1, 0.9, 1.05]], "float32"))
    moved = sample(volume, affine_to_displacement(matrix, (32, 32, 32)))
    back = numpy(UndoTransform(fill_value=-1.0)(moved, matrix))
    inner = (slice(None), *[slice(10, -10)] * 3)
    assert np.abs(back[inner] - volume[inner]).max() < 0.03
    assert np.abs(numpy(moved)[inner] - volume[inner]).max() > 0.15
    assert back.min() == -1.0, "what the transform led out of the volume must be background"


def test_a_known_transform_is_recovered():
    """Trained to put a volume back, the layer must predict the inverse of how it was moved."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    shape = (24, 24, 24)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"), axis=-1)
    blobs = [((0.3, 0.1, -0.1), 0.25, 1.0), ((-0.25, 0.3, 0.15), 0.18, 0.7), ((-0.1, -0.3, 0.25), 0.2, 0.5)]
    canonical = sum(
        height * np.exp(-np.sum((grid - centre) ** 2, axis=-1) / width**2) for centre, width, height in blobs
    )
    canonical = canonical[None, ..., None].astype("float32")

    def moved(count):
        raw = rng.uniform(-1, 1, (count, 9))
        parameters = np.c_[2.5 * raw[:, :3], 15 * raw[:, 3:6], 1.15 ** raw[:, 6:]].astype("float32")
        matrix = numpy(parameters_to_affine(parameters))
        field = affine_to_displacement(matrix, shape)
        return numpy(sample(np.repeat(canonical, count, axis=0), field)), matrix

    image = keras.Input((*shape, 1))
    layer = GeometricTransform()
    put_back, _ = layer(image)
    layer.standardise([moved(16)[0] for _ in range(8)])
    model = keras.Model(image, put_back)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, 500, alpha=0.02)
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=keras.backend.backend() == "jax")
    for _ in range(500):
        volumes, _ = moved(8)
        model.train_on_batch(volumes, np.repeat(canonical, 8, axis=0))
    volumes, matrices = moved(32)
    found = numpy(parameters_to_affine(layer.parameters(volumes)))
    points = 5.0 * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])  # inside of the blobs

    def apply(matrix, at):
        return np.einsum("bxy,bpy->bpx", matrix[:, :, :3], at) + matrix[:, None, :, 3]

    start_points = np.repeat(points[None], 32, axis=0)
    error = np.linalg.norm(apply(matrices, apply(found, start_points)) - start_points, axis=-1)
    before = np.linalg.norm(apply(matrices, start_points) - start_points, axis=-1)
    assert error.mean() < 0.25 * before.mean(), (error.mean(), before.mean())


def test_the_gate_leaves_the_source_alone(source, rng):
    """With the gate closed the network is the source's, however it was adapted; open, it is the adapted one."""
    dark = [0.3 * rng.random((4, 16, 16, 16, 1), dtype="float32") for _ in range(8)]
    bright = [0.3 + 0.5 * gaussian_filter(rng.random((4, 16, 16, 16, 1)), [0, 1, 1, 1, 0]) for _ in range(8)]
    bright = [item.astype("float32") for item in bright]
    model = adapted(source, geometric=True, intensity=True, gate=True)
    added = [layer.name for layer in model.layers if layer.name.startswith("added_")]
    assert len(added) == 1 + 6, "the pose, and the maps after each level on the way down and up"
    for name in added:
        last = model.get_layer(name).last
        last.set_weights([0.5 * rng.standard_normal(weight.shape) for weight in last.get_weights()])
    gate = model.get_layer("gate")
    features = [np.concatenate([numpy(gate.described(item)) for item in part[:6]]) for part in (dark, bright)]
    kernel, bias = fit_gate(features[0].mean(axis=0), np.cov(features[0].T, bias=True), len(features[0]), features[1])
    gate.decide_by(kernel, bias)
    assert all(np.array_equal(numpy(gate(item, training=True)), np.ones((4, 1))) for item in dark)
    for item in dark[6:]:
        assert np.array_equal(numpy(model({"image": item})), numpy(source({"image": item})))
    plain = adapted(source, geometric=True, intensity=True)
    for name in added:
        plain.get_layer(name).set_weights(model.get_layer(name).get_weights())
    for entry in bright[6:]:
        assert np.allclose(numpy(model({"image": entry})), numpy(plain({"image": entry})), atol=1e-5)
        assert not np.allclose(numpy(model({"image": entry})), numpy(source({"image": entry})), atol=1e-2)


def test_the_discriminant_is_the_bayes_rule(rng):
    """For two Gaussians of one covariance the best line is known; the fit must err no more than it."""
    mixing = rng.normal(size=(3, 3))
    first, second = (rng.normal(size=(4000, 3)) @ mixing + shift for shift in ([0, 0, 0], [1.5, 0, -1]))
    kernel, bias = fit_gate(first.mean(axis=0), np.cov(first.T, bias=True), len(first), second)
    best = np.linalg.solve(mixing.T @ mixing, [1.5, 0, -1])
    cut = best @ [0.75, 0, -0.5]

    def errors(weights, offset):
        return np.mean(first @ weights + offset > 0) + np.mean(second @ weights + offset <= 0)

    assert errors(kernel[:, 0], bias[0]) < errors(best, -cut) + 0.05


def test_models_survive_saving(source, images, tmp_path):
    """A network that loads as another one would segment otherwise on the server."""
    model = start(STRATEGIES["gated"], source)
    model.get_layer("added_geometric").last.set_weights([np.full((160, 9), 0.01), np.full(9, 0.2)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [weight.path for weight in loaded.trainable_weights] == [weight.path for weight in model.trainable_weights]
    assert np.array_equal(numpy(loaded({"image": images})), numpy(model({"image": images})))


def test_the_identity_kernel(rng):
    """Fixed convolutions begin as nothing."""
    x = rng.random((1, 5, 6, 7, 3), dtype="float32")
    layer = keras.layers.Conv3D(3, 3, padding="same", kernel_initializer=Identity())
    assert np.array_equal(numpy(layer(x)), x)


def test_what_describes_is_what_the_source_sees(source, images):
    """The gate's features are means and spreads of the source network's own maps."""
    model = adapted(source, gate=True, geometric=True)
    found = numpy(model.get_layer("gate").described(images))
    network = describing_network((4, 6, 8, 10), True)
    assert found.shape == (2, 2 * (4 + 6 + 8 + 10))
    first = keras.Model(source.inputs, source.get_layer("encoder_0_1_activation").output)
    maps = numpy(first({"image": images}))
    assert np.allclose(found[:, :4], maps.mean(axis=(1, 2, 3)), atol=1e-5)
    assert network.count_params() == model.get_layer("gate").described.count_params()
