"""The pose that a transfer begins with."""

import keras
import numpy as np

from tests.transfer.test_layers import numpy
from transfer.geometric_transform import GeometricTransform, UndoTransform
from transfer.start_pose import start_pose

SIZE = 24


class KnowsOnePlace(keras.layers.Layer):
    """A network that paints one shape, whatever it sees."""

    def __init__(self, shape):
        super().__init__()
        self.shape = keras.ops.convert_to_tensor(shape[None, ..., None].astype("float32"))

    def call(self, image):
        return 0.0 * image + 20.0 * self.shape - 10.0


class FindsWhatIsBright(keras.layers.Layer):
    def call(self, image):
        return 20.0 * image - 10.0


def _adapted(source):
    image, layer = keras.Input((SIZE, SIZE, SIZE, 1), name="image"), GeometricTransform()
    moved, matrix = layer(image)
    return keras.Model({"image": image}, UndoTransform()(source(moved), matrix)), layer


def _bar(degrees, half, shift=0.0):
    """An ellipsoid along the first axis, turned about the last one."""
    grid = np.stack(np.meshgrid(*[np.arange(SIZE) - (SIZE - 1) / 2] * 3, indexing="ij"), axis=-1)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return np.sum(((grid - shift) @ turn / half) ** 2, axis=-1) < 1


def test_a_population_that_lies_otherwise_is_found():
    """Turned by 60 degrees: without a search the transfer begins where the source is wrong."""
    model, layer = _adapted(KnowsOnePlace(_bar(0, [10, 3, 3])))
    masks = np.stack([_bar(60 + more, [8, 3, 3], shift=0.5) for more in (-4, 0, 4)])[..., None]
    images = masks.astype("float32")
    told = []
    before, after = start_pose(model, layer, [(images[:2], masks[:2]), (images[2:], masks[2:])], told.append)
    assert (told[0], told[-1]) == (before, after)
    assert np.all(np.diff(told) > 0), "a worse pose was taken"
    assert before < 0.65
    assert after > 0.8
    found = numpy(layer.parameters(images))
    np.testing.assert_allclose(found, np.repeat(found[:1], 3, axis=0), err_msg="it is the same for all volumes")


def test_where_no_pose_helps_none_is_taken():
    """A source that is right already must not be disturbed by a search that finds equals."""
    model, layer = _adapted(FindsWhatIsBright())
    masks = _bar(0, [8, 4, 3])[None, ..., None]
    before, after = start_pose(model, layer, [(masks.astype("float32"), masks)])
    assert before == after == 1
    np.testing.assert_array_equal(numpy(layer.last.bias), 0)
