"""Sheared and tilted grids: resampled to right angles, so that what is written fits in nibabel and in ITK."""

import nibabel
import numpy as np
import pytest

from app.data.geometry import corner_distance
from app.data.orthogonal import on_orthogonal_grid, orthogonal_affine
from app.data.read import read_labels, read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError

SHAPE = (14, 16, 12)


def tilted(degrees=0.0, shear=0.0, across=0.0):
    """2 x 2 x 3 mm, turned in space, its slices moved by a gantry's tilt, its rows by a shear."""
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[1, 2] = 3 * np.tan(np.radians(degrees))
    affine[0, 1], affine[0, 2] = shear, across
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.2, 1.0, 0.3], [0.0, -0.3, 1.0]]))[0]
    turn[:3, 3] = [-20, 30, 5]
    return turn @ affine


def world(affine, shape=SHAPE):
    """A smooth function of the place in millimetres, at each voxel."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) @ affine[:3, :3].T + affine[:3, 3]
    return (300 + 2 * places[..., 0] - 3 * places[..., 1] + places[..., 2]).astype("float32")


@pytest.mark.parametrize("affine", [tilted(18), tilted(-12), tilted(shear=0.4), tilted(10, 0.3, -0.5)])
def test_every_voxel_shows_what_lies_there(affine):
    """A tilt that is forgotten moves the highest slice by centimetres, and every measure with it."""
    given = Volume(world(affine), affine)
    straight = on_orthogonal_grid(given, "t.nii")
    axes = straight.affine[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.diag(np.diag(axes.T @ axes)), atol=1e-9)
    expected = world(straight.affine, straight.array.shape)
    shown = straight.array != given.array.min()
    assert shown.mean() > 0.4
    np.testing.assert_allclose(straight.array[shown], expected[shown], atol=2e-3)
    # all of the given corners are within
    ends = np.array([[i, j, k, 1] for i in (0, 13) for j in (0, 15) for k in (0, 11)]).T
    reached = (np.linalg.inv(straight.affine) @ affine @ ends)[:3]
    assert (reached > -0.01).all()
    assert (reached < np.array(straight.array.shape)[:, None] - 0.99).all()


def test_slices_of_a_tilted_gantry_stay_slices():
    """Interpolation across thick slices would blur what the scanner resolved."""
    affine = tilted(20)
    straight = orthogonal_affine(affine)
    np.testing.assert_allclose(straight[:3, 0], affine[:3, 0])
    np.testing.assert_allclose(np.linalg.norm(straight[:3, 2]), 3.0)  # between planes, not along the tilt
    assert on_orthogonal_grid(Volume(world(affine), affine), "t.nii").array.shape[2] == SHAPE[2]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mgz"])
def test_a_result_fits_in_nibabel_and_itk(tmp_path, suffix, capsys):
    """ITK, and so 3D Slicer, refuses a sheared grid or reads it elsewhere."""
    import SimpleITK

    affine = tilted(15)
    given = tmp_path / "given.nii.gz"
    nibabel.save(nibabel.Nifti1Image(world(affine), affine), given)
    straight = read_volume(given)
    assert "not at right angles" in capsys.readouterr().out
    write_volume(tmp_path / f"out{suffix}", straight)
    again = read_volume(tmp_path / f"out{suffix}")
    assert corner_distance(again.array.shape, again.affine, straight.affine) < 1e-3
    if suffix != ".mgz":
        image = SimpleITK.ReadImage(str(tmp_path / f"out{suffix}"))
        point = np.array(image.TransformIndexToPhysicalPoint((3, 4, 5))) * [-1, -1, 1]
        np.testing.assert_allclose(point, (straight.affine @ [3, 4, 5, 1])[:3], atol=1e-3)


def test_labels_stay_labels(tmp_path):
    """Between label 2 and label 9 lies no label 5."""
    affine, labels = tilted(15), np.zeros(SHAPE, "uint16")
    labels[3:9, 4:12, 2:10] = 2
    labels[5:7, 6:10, 4:8] = 9000
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "labels.nii.gz")
    nibabel.save(nibabel.Nifti1Image(world(affine), affine), tmp_path / "image.nii.gz")
    straight, image = read_labels(tmp_path / "labels.nii.gz"), read_volume(tmp_path / "image.nii.gz")
    assert set(np.unique(straight.array)) == {0, 2, 9000}
    assert straight.same_grid(image)
    volume = abs(np.linalg.det(straight.affine[:3, :3])) * np.count_nonzero(straight.array)
    np.testing.assert_allclose(volume, abs(np.linalg.det(affine[:3, :3])) * np.count_nonzero(labels), rtol=0.05)


@pytest.mark.parametrize(("shear", "words"), [(1e-6, ""), (3e-3, "not quite at right angles"), (0.2, "resampled to")])
def test_how_much_is_said(shear, words, capsys):
    """Rounding is no news; what moves a voxel by a twentieth is."""
    affine = tilted(shear=shear)
    volume = Volume(world(affine), affine)
    straight = on_orthogonal_grid(volume, "t.nii")
    assert words in capsys.readouterr().out or not words
    assert (straight.array.shape == SHAPE) == (shear < 0.1)
    if shear < 1e-5:
        assert straight is volume


def test_axes_that_are_nearly_one_are_refused():
    """The grid around them would take gigabytes."""
    affine = np.eye(4)
    affine[0, 1] = 30.0
    with pytest.raises(UserError, match="far from right angles"):
        on_orthogonal_grid(Volume(np.zeros((40, 40, 40), "uint8"), affine), "t.nii")
