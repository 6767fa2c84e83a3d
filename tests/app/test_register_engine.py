"""`register` without a model, from the command line."""

import json

import nibabel
import numpy as np
import pytest
import scipy.ndimage
import SimpleITK

from tests.app.refusals import assert_refused


def save(path, array, affine=None):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A textured image, and the same moved by two voxels along the first axis within a smooth window."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    shape = (30, 28, 26)
    image = scipy.ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    image = (1000 * (image - image.min()) / np.ptp(image)).astype("int16")
    window = np.prod(np.meshgrid(*(np.hanning(size) for size in shape), indexing="ij"), axis=0)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(float)
    grid[0] += 2.0 * window
    bent = scipy.ndimage.map_coordinates(image.astype(float), grid, order=1, mode="nearest")
    labels = (image > 600).astype("uint8")
    bent_labels = scipy.ndimage.map_coordinates(labels, grid, order=0, mode="nearest")
    return {
        "moving": save(folder / "moving.nii.gz", image),
        "fixed": save(folder / "fixed.nii.gz", bent.astype("float32")),
        "moving_labels": save(folder / "moving_labels.nii.gz", labels),
        "fixed_labels": save(folder / "fixed_labels.nii.gz", bent_labels),
    }


def words(output, **keys):
    return ["register", "--set", f"output={output}", *(w for k, v in keys.items() for w in ("--set", f"{k}={v}"))]


def test_two_scans_and_no_more(main, scans, tmp_path):
    """No config, no model: the moved image is the fixed one's, header and type kept, and the page is there."""
    done = main(*words(tmp_path / "out", **scans))
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["ncc_after"] > max(0.95, metrics["ncc_before"])
    assert metrics["mean_dice"] > max(0.95, metrics["mean_dice_before"])
    assert metrics["folding_percent"] == 0
    moved = nibabel.load(tmp_path / "out" / "moved.nii.gz")
    fixed = nibabel.load(scans["fixed"])
    assert moved.get_data_dtype() == np.int16
    np.testing.assert_allclose(moved.affine, fixed.affine)
    inner = (slice(4, -4),) * 3
    before = np.abs(nibabel.load(scans["moving"]).get_fdata() - fixed.get_fdata())[inner].mean()
    assert np.abs(moved.get_fdata() - fixed.get_fdata())[inner].mean() < 0.3 * before
    for name in ("report.html", "displacement.nii.gz", "jacobian.nii.gz", "config.yaml", "figures/similarity.png"):
        assert (tmp_path / "out" / name).is_file()
    assert "level 1/1" in done.stdout
    assert "correlation of the images" in done.stdout


def test_grids_that_differ_meet_in_millimetres(main, scans, tmp_path):
    """The same head stored along other axes, in larger voxels: nothing moves but through the headers."""
    source = nibabel.load(scans["fixed"])
    turned = nibabel.as_closest_canonical(source).slicer[2:, :, :]
    turned = turned.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    path = tmp_path / "turned.nii.gz"
    nibabel.save(turned, path)
    done = main(*words(tmp_path / "out", moving=path, fixed=scans["fixed"], preset="fast", affine="none"))
    assert done.returncode == 0, done.stderr
    moved = nibabel.load(tmp_path / "out" / "moved.nii.gz").get_fdata()
    expected = source.get_fdata()
    inner = (slice(8, -4), slice(4, -4), slice(4, -4))  # where the moving image ends the field bends a little
    assert np.abs(moved - expected)[inner].mean() < 0.01 * np.ptp(expected)
    assert np.all(moved[0] == expected[2:].min())  # outside of the moving image: its smallest value


def test_heads_in_other_axis_orders_come_out_equal(main, data_folder, tmp_path):
    """An axis taken for another, or turned, moves the head out of itself."""
    fixed = data_folder / "io_orientation" / "RAS.nii.gz"
    expected = nibabel.load(fixed).get_fdata()
    for name in ("LPI", "SAR"):
        moving = data_folder / "io_orientation" / f"{name}.nii.gz"
        done = main(*words(tmp_path / name, moving=moving, fixed=fixed, preset="fast"))
        assert done.returncode == 0, done.stderr
        moved = nibabel.load(tmp_path / name / "moved.nii.gz").get_fdata()
        assert np.abs(moved - expected).mean() < 0.005 * np.ptp(expected)


def test_flat_images_too(main, tmp_path, rng):
    """2D has the same command."""
    image = scipy.ndimage.gaussian_filter(rng.normal(size=(40, 44)), 2).astype("float32")
    paths = [save(tmp_path / f"{by}.nii.gz", np.roll(image, by, 0)) for by in (0, 1)]
    done = main(*words(tmp_path / "out", moving=paths[0], fixed=paths[1]))
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["ncc_after"] > metrics["ncc_before"]


def test_what_cannot_be_registered(main, scans, tmp_path, rng):
    """Each is refused in a line before a folder is made."""
    away = np.eye(4)
    away[:3, 3] = 500.0
    noise = rng.random((20, 20, 20)).astype("float32")
    colours = np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    cases = {
        "flat": (save(tmp_path / "flat.nii.gz", noise[0]), ["2D, but", "3D"]),
        "away": (save(tmp_path / "away.nii.gz", noise, away), ["does not overlap", "correct a header"]),
        "zeros": (save(tmp_path / "zeros.nii.gz", 0 * noise), ["every voxel is 0"]),
        "frames": (
            save(tmp_path / "frames.nii.gz", noise.reshape(10, 10, 8, 10)),
            ["4 axes, 10 frames", "frame: 0 to 9"],
        ),
        "colours": (save(tmp_path / "colours.nii.gz", colours), ["colours.nii.gz"]),
        "missing": (tmp_path / "missing.nii.gz", ["missing.nii.gz"]),
    }
    for moving, messages in cases.values():
        assert_refused(main(*words(tmp_path / "out", moving=moving, fixed=scans["fixed"])), messages)
    slab = save(tmp_path / "slab.nii.gz", noise[:, :, :3])
    assert_refused(main(*words(tmp_path / "out", moving=scans["moving"], fixed=slab)), ["4 or more along each axis"])
    both = {"moving": scans["moving"], "fixed": scans["fixed"]}
    assert_refused(main(*words(tmp_path / "out", **both, **{"hyper.lambda": 0.5})), ["belong to a model"])
    assert_refused(main(*words(tmp_path / "out", **both, model="m", preset="fast")), ["leave out model or preset"])
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_would_be_done(main, scans, tmp_path):
    """Grid and preset, and nothing written."""
    done = main(*words(tmp_path / "out", moving=scans["moving"], fixed=scans["fixed"]), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "preset default" in done.stdout
    assert not (tmp_path / "out").exists()


def test_flat_images_in_other_planes(main, tmp_path, rng):
    """An axial and a coronal slice: by their headers neither lies over the other, which once was a traceback."""
    image = scipy.ndimage.gaussian_filter(rng.normal(size=(40, 44)), 2).astype("float32")
    coronal = np.eye(4)[:, [0, 2, 1, 3]]
    moving, fixed = (
        save(tmp_path / "moving.nii.gz", image, coronal),
        save(tmp_path / "fixed.nii.gz", np.roll(image, 1, 0)),
    )
    for affine in ("none", "auto"):
        done = main(*words(tmp_path / affine, moving=moving, fixed=fixed, affine=affine))
        assert done.returncode == 0, done.stderr
        assert "lies in another plane" in done.stdout
        metrics = json.loads((tmp_path / affine / "metrics.json").read_text())
        assert metrics["ncc_after"] > metrics["ncc_before"]


def test_itk_reads_a_flat_displacement(main, tmp_path, rng):
    """Two components, as ITK itself writes: with three it refuses the field."""
    image = scipy.ndimage.gaussian_filter(rng.normal(size=(40, 44)), 2).astype("float32")
    paths = [save(tmp_path / f"{by}.nii.gz", np.roll(image, by, 0)) for by in (0, 1)]
    done = main(*words(tmp_path / "out", moving=paths[0], fixed=paths[1]))
    assert done.returncode == 0, done.stderr
    moving, fixed = (SimpleITK.ReadImage(str(path)) for path in paths)
    field = SimpleITK.ReadImage(str(tmp_path / "out" / "displacement.nii.gz"))
    warp = SimpleITK.DisplacementFieldTransform(SimpleITK.Cast(field, SimpleITK.sitkVectorFloat64))
    expected = SimpleITK.GetArrayFromImage(SimpleITK.Resample(moving, fixed, warp)).T
    moved = nibabel.load(tmp_path / "out" / "moved.nii.gz").get_fdata()
    assert np.mean(np.abs(moved - expected)[2:-2, 2:-2] > 0.01 * np.ptp(image)) < 0.01


def test_working_voxels_that_do_not_suit(main, scans, tmp_path):
    """Four voxels a side, or a billion, are a slip of the keyboard."""
    both = {"moving": scans["moving"], "fixed": scans["fixed"]}
    for side in (50, 0.01):
        assert_refused(main(*words(tmp_path / "out", **both, working_mm=side)), ["does not suit", "choose 0.25 to"])
    assert not (tmp_path / "out").exists()
