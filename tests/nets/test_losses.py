"""Losses against direct NumPy sums and what they must do."""

import keras
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from nets.losses import bending_energy, dice_loss, gradient_penalty, mse_loss, ncc_loss, nmi_loss


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def direct_ncc(fixed, moved, window):
    def total(x):
        return uniform_filter(x.astype("float64"), window, mode="constant") * window**x.ndim

    count, e = float(window**fixed.ndim), 1e-5
    cross = total(fixed * moved) - total(fixed) * total(moved) / count
    variances = [total(x * x) - total(x) ** 2 / count for x in (fixed, moved)]
    return -np.mean(np.maximum(cross, e) ** 2 / np.prod([np.maximum(v, e) for v in variances], axis=0))


@pytest.mark.parametrize("shape", [(17, 19), (12, 13, 11)])
@pytest.mark.parametrize("window", [5, 9])
def test_ncc_equals_direct_sums(rng, shape, window):
    """Another constant than VoxelMorph's would change what every lambda means."""
    fixed, moved = (rng.random((2, *shape, 1)).astype("float32") for _ in range(2))
    expected = [direct_ncc(f[..., 0], m[..., 0], window) for f, m in zip(fixed, moved, strict=True)]
    np.testing.assert_allclose(numpy(ncc_loss(fixed, moved, window)), expected, rtol=2e-3)


def test_ncc_window_may_be_an_input(rng):
    """One window a sample must give what each gives alone, and something between in between."""
    fixed, moved = (rng.random((3, 15, 14, 1)).astype("float32") for _ in range(2))
    together = numpy(ncc_loss(fixed, moved, np.array([5.0, 9.0, 7.0], "float32")))
    alone = [numpy(ncc_loss(fixed[i : i + 1], moved[i : i + 1], w))[0] for i, w in enumerate((5, 9, 7))]
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    around = [numpy(ncc_loss(fixed, moved, w))[0] for w in (5, 5.5, 6, 6.5, 7)]
    assert np.abs(np.diff(around)).max() < 0.5 * abs(around[0])


def test_ncc_ignores_local_gain(rng):
    """A bias field must not count as misalignment."""
    image = rng.random((1, 16, 16, 16, 1)).astype("float32") + 0.5
    gain = np.linspace(0.9, 1.1, 16, dtype="float32").reshape(1, 16, 1, 1, 1)
    assert numpy(ncc_loss(image, image * gain))[0] < -0.95
    assert numpy(ncc_loss(image, image))[0] == pytest.approx(-1.0, abs=1e-3)


def test_nmi_sees_through_contrast(rng):
    """Inverted contrast must score nearly like equality, noise much worse."""
    image = rng.random((1, 20, 20, 1)).astype("float32")
    same, inverted = numpy(nmi_loss(image, image))[0], numpy(nmi_loss(image, 1.0 - image))[0]
    other = numpy(nmi_loss(image, rng.random(image.shape).astype("float32")))[0]
    assert inverted == pytest.approx(same, abs=1e-3)
    assert same < other - 0.2


def test_nmi_bins_may_be_an_input(rng):
    """Bins as a tensor, padded to the most there can be, must equal that number of bins."""
    fixed, moved = (rng.random((2, 12, 12, 1)).astype("float32") for _ in range(2))
    together = numpy(nmi_loss(fixed, moved, np.array([16.0, 32.0], "float32"), max_bins=48))
    alone = [numpy(nmi_loss(fixed[i : i + 1], moved[i : i + 1], b))[0] for i, b in enumerate((16, 32))]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    with pytest.raises(ValueError, match="max_bins"):
        nmi_loss(fixed, moved, np.array([16.0, 32.0]))


def test_mse_and_dice_closed_forms():
    """Scale and counting errors would shift the balance of the loss."""
    zeros, ones = np.zeros((2, 4, 4, 1), "float32"), np.ones((2, 4, 4, 1), "float32")
    np.testing.assert_allclose(numpy(mse_loss(zeros, ones, image_sigma=0.5)), [4.0, 4.0])
    half = ones.copy()
    half[:, :2] = 0.0
    np.testing.assert_allclose(numpy(dice_loss(ones, half)), [1 / 3, 1 / 3], atol=1e-6)
    np.testing.assert_allclose(numpy(dice_loss(ones, ones)), [0.0, 0.0], atol=1e-6)
    assert numpy(dice_loss(zeros, zeros))[0] == 1.0


def test_bending_energy_of_polynomials():
    """An affine field costs nothing; x squared has the second difference 2, x y the mixed one 1, which counts twice."""
    x, y = np.meshgrid(np.arange(7.0), np.arange(6.0), indexing="ij")
    field = lambda values: np.stack([values, 0 * values], axis=-1)[None].astype("float32")  # noqa: E731
    assert numpy(bending_energy(field(3 * x - 2 * y + 5)))[0] == pytest.approx(0.0, abs=1e-9)
    assert numpy(bending_energy(field(x**2)))[0] == pytest.approx(2.0)  # 4, and 0 of the other component
    assert numpy(bending_energy(field(x * y)))[0] == pytest.approx(1.0)  # 2 x 1, halved likewise


def test_gradient_penalty_of_a_ramp():
    """A translation costs nothing, a ramp of slope 2 along one of two axes (4 + 0) / 2 / 2."""
    ramp = np.zeros((1, 5, 6, 2), "float32")
    assert numpy(gradient_penalty(ramp + 3.0))[0] == 0.0
    ramp[..., 0] = 2.0 * np.arange(5).reshape(1, 5, 1)
    assert numpy(gradient_penalty(ramp))[0] == pytest.approx(1.0)
    assert numpy(gradient_penalty(ramp, "l1"))[0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="penalty"):
        gradient_penalty(ramp, "l3")
