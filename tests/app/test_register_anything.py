"""`register` on two images as they come: other grids, orientations, spacings, types."""

import json

import nibabel
import numpy as np
import pytest
import scipy.ndimage
import SimpleITK
from scipy.spatial.transform import Rotation

from tests.app.refusals import assert_refused
from tests.app.test_register_engine import save, words


def turned(image, degrees, shift, spacing, shape):
    """An image seen through a rigid turn, on a grid of its own, oblique and flipped."""
    middle = (image.affine @ [*((np.array(image.shape) - 1) / 2), 1])[:3]
    world = np.eye(4)
    world[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * np.array([0.48, 0.6, 0.64])).as_matrix()
    world[:3, 3] = middle + shift - world[:3, :3] @ middle
    grid = np.eye(4)
    grid[:3, :3] = np.array([[0, 0, 1.0], [-1.0, 0, 0], [0, 1.0, 0]]) * spacing
    grid[:3, 3] = middle - grid[:3, :3] @ ((np.array(shape) - 1) / 2)
    matrix = np.linalg.inv(image.affine) @ world @ grid
    array = np.asarray(image.dataobj).astype("float32")
    order = 0 if image.get_data_dtype().kind in "iu" else 1
    return scipy.ndimage.affine_transform(array, matrix[:3, :3], matrix[:3, 3], shape, order=order), grid


def turned_pair(phantoms, folder):
    """A simulated brain, and another one turned by 50 degrees, on an anisotropic, oblique grid."""
    files = {}
    for kind, name in (("image", "moving"), ("labels", "moving_labels")):
        files[name] = phantoms.parent / kind / "phantom-000.nii.gz"
    for kind, name in (("image", "fixed"), ("labels", "fixed_labels")):
        source = nibabel.load(phantoms.parent / kind / "phantom-001.nii.gz")
        array, grid = turned(source, 50, np.array([4.0, -6.0, 9.0]), [1.5, 2.0, 2.5], (40, 30, 26))
        files[name] = save(folder / f"{name}.nii.gz", array.astype(source.get_data_dtype()), grid)
    return files


@pytest.fixture(scope="module")
def scans(phantoms, tmp_path_factory):
    return turned_pair(phantoms, tmp_path_factory.mktemp("anything"))


@pytest.fixture(scope="module")
def registered(main, scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("registered") / "out"
    done = main(*words(folder, **scans))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_turned_scan_on_another_grid(registered):
    """Two scans, one command: the affine brings them together, the warp improves on it."""
    folder, printed = registered
    measures = metrics(folder)
    assert measures["turn_degrees"] == pytest.approx(50, abs=15)  # the two differ in shape, too
    assert measures["mean_dice_before"] + 0.15 < measures["mean_dice_after_affine"] < measures["mean_dice"]
    assert measures["ncc_before"] < measures["ncc_after_affine"] < measures["ncc_after"]
    assert measures["folding_percent"] < 0.01
    assert "affine alignment: turned by" in printed
    for name in ("checkerboard", "jacobian", "registration", "similarity"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000


def test_itk_does_the_same_with_the_displacement(registered, scans):
    """The whole warp, affine included, in another program: one resampling of the original gives the moved image."""
    folder, _ = registered
    moving, fixed = (SimpleITK.ReadImage(str(scans[name]), SimpleITK.sitkFloat32) for name in ("moving", "fixed"))
    field = SimpleITK.Cast(SimpleITK.ReadImage(str(folder / "displacement.nii.gz")), SimpleITK.sitkVectorFloat64)
    warp = SimpleITK.DisplacementFieldTransform(field)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.Resample(moving, fixed, warp, SimpleITK.sitkLinear, 0.0)).T
    moved = nibabel.load(folder / "moved.nii.gz").get_fdata()
    assert np.mean(np.abs(moved - expected) > 0.01 * np.ptp(expected)) < 0.01


def test_itk_does_the_same_with_the_affine(registered, scans):
    """The affine's file alone: labels through it overlap as the metrics say."""
    folder, _ = registered
    moving, fixed = (SimpleITK.ReadImage(str(scans[f"{name}_labels"])) for name in ("moving", "fixed"))
    affine = SimpleITK.ReadTransform(str(folder / "affine.tfm"))
    moved = SimpleITK.GetArrayFromImage(SimpleITK.Resample(moving, fixed, affine, SimpleITK.sitkNearestNeighbor))
    target = SimpleITK.GetArrayFromImage(fixed)
    dice = [
        2 * np.sum((moved == label) & (target == label)) / (np.sum(moved == label) + np.sum(target == label))
        for label in map(int, metrics(folder)["dice"])
    ]
    assert np.mean(dice) == pytest.approx(metrics(folder)["mean_dice_after_affine"], abs=0.01)


def test_an_affine_from_a_file(main, registered, scans, tmp_path):
    """What another program aligned is taken as it is."""
    folder, _ = registered
    done = main(*words(tmp_path / "out", **scans, affine=folder / "affine.tfm"))
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "out")["mean_dice"] == pytest.approx(metrics(folder)["mean_dice"], abs=0.005)


def test_affine_files_that_are_none(main, scans, tmp_path):
    """Each in a line, before anything is computed or written."""
    (tmp_path / "text.txt").write_text("no transform")
    SimpleITK.WriteTransform(SimpleITK.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    grid = SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat64, 3)
    SimpleITK.WriteTransform(SimpleITK.DisplacementFieldTransform(grid), str(tmp_path / "warp.tfm"))
    away = SimpleITK.AffineTransform(3)
    away.SetTranslation((500.0, 0.0, 0.0))
    SimpleITK.WriteTransform(away, str(tmp_path / "away.tfm"))
    cases = {
        "text.txt": "cannot be read",
        "flat.tfm": "2D",
        "warp.tfm": "not a linear transform",
        "missing.tfm": "no such",
        "a.json": "nor a kind of alignment",
        "away.tfm": "within its grid by the affine file",
    }
    for name, message in cases.items():
        both = {"moving": scans["moving"], "fixed": scans["fixed"]}
        assert_refused(main(*words(tmp_path / "out", **both, affine=tmp_path / name)), [message])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("grid", ["moving", "working"])
def test_results_on_another_grid(main, scans, tmp_path, grid):
    """The moving image's own grid, or that of the computation: the header says where the voxels are."""
    done = main(*words(tmp_path / "out", **scans, grid=grid, preset="fast", working_mm=3))
    assert done.returncode == 0, done.stderr
    moved, moving = nibabel.load(tmp_path / "out" / "moved.nii.gz"), nibabel.load(scans["moving"])
    if grid == "moving":
        np.testing.assert_allclose(moved.affine, moving.affine)
        assert moved.shape == moving.shape
    else:
        np.testing.assert_allclose(np.linalg.norm(moved.affine[:3, :3], axis=0), 3.0, rtol=1e-5)
    for name in ("displacement", "jacobian", "moved_labels"):
        np.testing.assert_allclose(nibabel.load(tmp_path / "out" / f"{name}.nii.gz").affine, moved.affine, atol=1e-4)
    # Where it lies, the moved image is the fixed one.
    fixed = SimpleITK.ReadImage(str(scans["fixed"]), SimpleITK.sitkFloat32)
    reference = SimpleITK.ReadImage(str(tmp_path / "out" / "moved.nii.gz"), SimpleITK.sitkFloat32)
    there = SimpleITK.GetArrayFromImage(SimpleITK.Resample(fixed, reference))
    assert np.corrcoef(there.ravel(), SimpleITK.GetArrayFromImage(reference).ravel())[0, 1] > 0.85


def test_frames(main, scans, tmp_path):
    """A 4D file with one frame is an image; of several the user chooses."""
    image = nibabel.load(scans["moving"])
    array = np.asarray(image.dataobj)
    single = save(tmp_path / "single.nii.gz", array[..., None], image.affine)
    series = save(tmp_path / "series.nii.gz", np.stack([0 * array, array], axis=-1), image.affine)
    for path, keys in ((single, {}), (series, {"frame": 1})):
        done = main(*words(tmp_path / path.stem, moving=path, fixed=scans["moving"], preset="fast", **keys))
        assert done.returncode == 0, done.stderr
        moved = nibabel.load(tmp_path / path.stem / "moved.nii.gz").get_fdata()
        assert np.abs(moved - array).mean() < 0.01 * array.max()
    unused = f"note: {scans['moving']}: an image of 3 axes has no frames to choose from"
    assert unused in done.stdout
    assert unused in (tmp_path / "series.nii" / "log.txt").read_text()
    refused = main(*words(tmp_path / "out", moving=series, fixed=scans["moving"], frame=2))
    assert_refused(refused, ["2 frames", "frame: 0 to 1"])


@pytest.mark.parametrize("side", [0.01, 20.0])
def test_voxels_of_any_size(main, scans, tmp_path, side):
    """Microscopy and phantoms in metres: nothing is bound to a head's size."""
    files = {}
    for name in ("moving", "moving_labels"):
        image = nibabel.load(scans[name])
        array = np.asarray(image.dataobj)
        files[name] = save(tmp_path / f"{name}.nii.gz", array, np.diag([side] * 3 + [1]))
        other = name.replace("moving", "fixed")
        files[other] = save(tmp_path / f"{other}.nii.gz", np.roll(array, 2, 0), np.diag([side] * 3 + [1]))
    done = main(*words(tmp_path / "out", **files))
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "out")["mean_dice"] > 0.93


def test_a_label_map_given_as_image_is_said(main, scans, tmp_path):
    """It registers, badly: the user should hear of it."""
    done = main(*words(tmp_path / "out", moving=scans["moving_labels"], fixed=scans["fixed_labels"], preset="fast"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("looks like a label map") == 2


def test_another_contrast(main, data_folder, tmp_path):
    """Bright where the other is dark, but for the background: a curve brings them together, and the log says so."""
    cohort = data_folder / "brains_ixi_2mm"
    names = [path.name for path in sorted((cohort / "images").glob("*.nii.gz"))[:2]]
    image = nibabel.load(cohort / "images" / names[0])
    array = np.asarray(image.dataobj).astype("float32") / 255
    other = np.where(array > 0, 1.1 - array**0.7, 0).astype("float32")
    files = {"moving": save(tmp_path / "other.nii.gz", other, image.affine), "fixed": cohort / "images" / names[1]}
    labels = {f"{role}_labels": cohort / "labels" / name for role, name in zip(files, names, strict=True)}
    done = main(*words(tmp_path / "out", **files, **labels))
    assert done.returncode == 0, done.stderr
    assert "similarity: mapped; of the fixed image's variance" in done.stdout
    measures = metrics(tmp_path / "out")
    assert (
        measures["mean_dice_after_affine"] > measures["mean_dice_before"] - 0.12
    )  # labels steered the cohort's affine
    assert measures["mean_dice"] > measures["mean_dice_after_affine"] + 0.05


def test_from_a_raw_brain_to_another_space_and_back(main, data_folder, tmp_path):
    """256 voxels a side at 1 mm, in an orientation of its own, against 2 mm: one command each way."""
    raw = data_folder / "brain_1mm" / "norm.mgz"
    small = next(iter(sorted((data_folder / "brains_ixi_2mm" / "images").glob("*.nii.gz"))))
    for name, moving, fixed in (("there", raw, small), ("back", small, raw)):
        done = main(*words(tmp_path / name, moving=moving, fixed=fixed, preset="fast"))
        assert done.returncode == 0, done.stderr
        measures = metrics(tmp_path / name)
        assert measures["ncc_before"] + 0.1 < measures["ncc_after_affine"] < measures["ncc_after"] - 0.1
        assert measures["folding_percent"] == 0
        moved, target = nibabel.load(tmp_path / name / "moved.nii.gz"), nibabel.load(fixed)
        assert moved.shape == target.shape
        np.testing.assert_allclose(moved.affine, target.affine)
