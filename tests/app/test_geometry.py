"""Where a voxel is: forms that disagree, units, quaternions, and what other programs read of what we write."""

import nibabel
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from app.data.geometry import corner_distance, usable
from app.data.inputs import find_volumes
from app.data.read import read_labels, read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.notes import forget
from app.transforms.fields import write_field
from app.transforms.transform import Field

PLACED = np.array([[0, -2.0, 0, 30], [1.5, 0, 0, -7], [0, 0, 3.0, 5], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def _new_command():
    forget()


@pytest.fixture
def array(rng):
    return rng.integers(0, 200, (6, 7, 5)).astype("int16")


def moved_by(millimetres):
    affine = PLACED.copy()
    affine[:3, 3] += millimetres
    return affine


def in_itk(path):
    """Affine of a file as SimpleITK reads it, in RAS."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1, 1, 1]) @ affine


@pytest.mark.parametrize(
    ("q", "s", "taken"), [(1, 2, "s"), (2, 1, "q"), (1, 1, "s"), (4, 3, "q"), (0, 1, "s"), (1, 0, "q")]
)
def test_the_form_of_the_higher_code_counts(array, tmp_path, capsys, q, s, taken):
    """A co-registration that changed one form only: taken for the other, everything lies elsewhere, silently."""
    image = nibabel.Nifti1Image(array, None)
    image.set_qform(PLACED, q)
    image.set_sform(moved_by([4, -6, 9]), s)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.affine, moved_by([4, -6, 9]) if taken == "s" else PLACED, atol=1e-4)
    printed = capsys.readouterr().out
    assert ("voxels apart" in printed) == (q > 0 and s > 0)
    if q and s:
        assert f"the {taken}form is taken" in printed
        # 4, -6, 9 mm along axes of 1.5, 2 and 3 mm
        assert f"{np.linalg.norm([6 / 1.5, 4 / 2, 9 / 3]):.2f} voxels" in printed
    write_volume(tmp_path / "b.nii.gz", volume)
    header = nibabel.load(tmp_path / "b.nii.gz").header
    np.testing.assert_allclose(header.get_sform(), volume.affine, atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), volume.affine, atol=1e-4)
    np.testing.assert_allclose(in_itk(tmp_path / "b.nii.gz"), volume.affine, atol=1e-4)


def test_forms_that_agree_say_nothing(array, tmp_path, capsys):
    """Rounding in 32 bits is no disagreement."""
    image = nibabel.Nifti1Image(array, None)
    image.set_qform(PLACED, 1)
    image.set_sform(PLACED + 1e-4, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    read_volume(tmp_path / "a.nii.gz")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)])
def test_lengths_become_millimetres(array, tmp_path, unit, scale):
    """A microscope's header in microns, taken for millimetres, makes a cell a kilometre wide."""
    image = nibabel.Nifti1Image(array, PLACED / [[scale], [scale], [scale], [1]])
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.spacing_mm, (1.5, 2, 3), rtol=1e-5)
    write_volume(tmp_path / "b.nii", volume)
    np.testing.assert_allclose(in_itk(tmp_path / "b.nii"), PLACED, atol=1e-4)
    assert nibabel.load(tmp_path / "b.nii").header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("longer", [4.4e-7, 2e-5, 4e-4])
def test_a_quaternion_a_little_too_long(array, tmp_path, capsys, longer):
    """Rounded to 32 bits it is longer than 1: ITK reads the file, and so must we."""
    image = nibabel.Nifti1Image(array, None)
    image.set_sform(None, 0)
    image.set_qform(np.diag([2.0, 2, 2, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    half = np.sqrt((1 + longer) / 2)
    data[256:268] = np.array([0, half, half], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(data))
    volume = read_volume(tmp_path / "a.nii")
    turned = Rotation.from_quat([0, 1, 1, 0]).as_matrix() * 2.0
    np.testing.assert_allclose(volume.affine[:3, :3], turned, atol=1e-3)
    assert "longer than 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("quaternion", "unit", "line"),
    [
        ([0, 0.70710695, 0.70710695], 2, "longer than 1"),
        ([0.9, 0.9, 0.9], 2, "the qform is left out"),
        ([0, 0, 0], 7, ""),
        ([0, 0, 0], 255, ""),
    ],
)
def test_a_sound_sform_beside_nonsense_is_enough(array, tmp_path, capsys, quaternion, unit, line):
    """Files that nibabel and ITK read were refused as damaged: for a qform that does not count, a unit that is none."""
    image = nibabel.Nifti1Image(array, None)
    image.set_qform(PLACED, 1)
    image.set_sform(PLACED, 2)
    nibabel.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[123] = unit
    if any(quaternion):
        data[256:268] = np.array(quaternion, "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(data))
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, PLACED, atol=1e-4)
    printed = capsys.readouterr().out
    assert line in printed
    assert bool(printed) == bool(line)
    write_volume(tmp_path / "b.nii", volume)
    np.testing.assert_allclose(in_itk(tmp_path / "b.nii"), PLACED, atol=1e-4)


def test_a_quaternion_far_too_long_is_refused(array, tmp_path):
    """That is no rounding: whatever turn was meant is lost."""
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[252:256] = np.array([1, 0], "<i2").tobytes()  # qform_code, sform_code
    data[256:268] = np.array([0.9, 0.9, 0.9], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"a\.nii"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 0.0])
def test_an_affine_that_says_nothing_is_refused(array, tmp_path, value):
    """It passes until half of the results are written."""
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[280:284] = np.float32(value).tobytes()  # srow_x[0]
    (tmp_path / "a.nii").write_bytes(bytes(data))
    with pytest.raises(UserError, match="where its voxels are"):
        read_volume(tmp_path / "a.nii")


def test_no_form_at_all_is_said(array, tmp_path, capsys):
    """Left and right are then a guess."""
    image = nibabel.Nifti1Image(array, None)
    image.header.set_zooms((1.5, 2, 3))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").spacing_mm == pytest.approx((1.5, 2, 3))
    assert "does not say how it lies" in capsys.readouterr().out


def test_warps_say_the_same_in_both_forms(tmp_path):
    """ITK may read the qform: a displacement that has none lies elsewhere there."""
    turned = PLACED.copy()
    turned[:3, :3] = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix() @ PLACED[:3, :3]
    write_field(tmp_path / "u.nii.gz", Field.of_voxels(np.zeros((6, 7, 5, 3), "float32"), turned))
    header = nibabel.load(tmp_path / "u.nii.gz").header
    np.testing.assert_allclose(header.get_qform(), turned, atol=1e-4)
    np.testing.assert_allclose(header.get_sform(), turned, atol=1e-4)
    assert min(int(header["qform_code"]), int(header["sform_code"])) > 0
    np.testing.assert_allclose(in_itk(tmp_path / "u.nii.gz"), turned, atol=1e-4)


def test_distance_of_corners_is_that_of_the_far_corner():
    """Entry by entry a tenth of a degree is nothing; at the far corner of a long image it is a voxel."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 0.1, degrees=True).as_matrix()
    shape = (600, 10, 10)
    expected = 2 * np.sin(np.radians(0.05)) * np.hypot(599, 9)
    assert corner_distance(shape, np.eye(4), turn) == pytest.approx(expected, rel=1e-6)
    assert np.abs(turn - np.eye(4)).max() < 2e-3


@pytest.mark.parametrize(("shift", "same"), [(0.0, True), (0.04, True), (0.06, False)])
def test_grids_may_differ_by_a_twentieth_of_a_voxel(array, capsys, shift, same):
    """Rounded headers are one grid, and that is said; half a voxel is another."""
    first, other = Volume(array, PLACED), Volume(array, PLACED.copy())
    other.affine[:3, 3] += shift * PLACED[:3, 0]
    assert first.same_grid(other, ("a.nii", "b.nii")) == same
    assert ("taken for the same grid" in capsys.readouterr().out) == (same and shift > 0)


def test_usable_affines():
    """Sheared axes are unusual, flat ones are nothing."""
    shear = np.eye(4)
    shear[0, 1] = 0.5
    assert usable(shear)
    shear[:3, 1] = shear[:3, 0]
    assert not usable(shear)


@pytest.mark.parametrize(("off", "accepted"), [(3e-5, True), (0.009, True), (0.02, False), (0.5, False)])
def test_labels_a_little_off_whole_numbers(tmp_path, capsys, off, accepted):
    """Scaled by their header they are 2.99997 and not 3: no reason to refuse; 2.5 is interpolated."""
    labels = np.zeros((4, 4, 4), "float32")
    labels[1:3, 1:3, 1:3] = 3 - off
    write_volume(tmp_path / "l.nii.gz", Volume(labels, np.eye(4)))
    if accepted:
        assert np.unique(read_labels(tmp_path / "l.nii.gz").array).tolist() == [0, 3]
        assert "rounded" in capsys.readouterr().out
    else:
        with pytest.raises(UserError, match=rf"8 voxels are not \({3 - off:g}, {3 - off:g}, {3 - off:g}\)"):
            read_labels(tmp_path / "l.nii.gz")


def test_what_an_operating_system_leaves_is_passed_over(tmp_path, array):
    """A folder from a Mac or a network drive: `._scan.nii.gz` is no scan."""
    write_volume(tmp_path / "scan.nii.gz", Volume(array, np.eye(4)))
    hidden = tmp_path / ".cache"
    hidden.mkdir()
    write_volume(hidden / "old.nii.gz", Volume(array, np.eye(4)))
    for name in ("._scan.nii.gz", ".DS_Store", "Thumbs.db", ".hidden.nii.gz"):
        (tmp_path / name).write_bytes(b"Mac OS X")
    volumes, problems = find_volumes([tmp_path])
    assert [volume.name for volume in volumes] == ["scan"]
    assert problems == []
