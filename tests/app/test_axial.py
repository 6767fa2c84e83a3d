"""Volumes of any order and direction become the same axial slices; regions of a CSV become classes."""

import nibabel
import numpy as np
import pytest

from app.data.phantoms.bodies import Scan
from app.data.phantoms.config import BodiesConfig
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.systems.fov.axial import axial_stack
from app.systems.fov.regions import CLASSES, slice_classes


@pytest.fixture(scope="module")
def body():
    """A volume with a structure in every octant, and its slices."""
    rng = np.random.default_rng(0)
    array = np.kron(rng.random((4, 5, 6)), np.ones((5, 4, 3))).astype("float32")
    return Volume(array, np.array([[3.0, 0, 0, -20], [0, 3.5, 0, 10], [0, 0, 5.0, 100], [0, 0, 0, 1]]))


def stored(volume, order, flips):
    image = nibabel.Nifti1Image(volume.array, volume.affine).as_reoriented(np.stack([order, flips], axis=1))
    return Volume(np.asanyarray(image.dataobj), image.affine)


ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
FLIPS = [(a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flips", FLIPS)
def test_all_48_orders_give_the_same_slices(order, flips, body):
    """A flipped axis would put the head at the feet, or left to the right."""
    expected, found = axial_stack(body, 16), axial_stack(stored(body, np.array(order), np.array(flips)), 16)
    np.testing.assert_allclose(found.slices, expected.slices, atol=1e-6)
    np.testing.assert_allclose(found.heights_mm, expected.heights_mm)
    array = np.moveaxis(stored(body, np.array(order), np.array(flips)).array, found.axis, 0)
    first, last = array[found.indices[0]], array[found.indices[-1]]
    assert sorted(first.ravel()) == sorted(body.array[:, :, 0].ravel())
    assert sorted(last.ravel()) == sorted(body.array[:, :, -1].ravel())


def test_a_real_head_in_all_48_orders(data_folder):
    """The same, on files that other software wrote."""
    stacks = [axial_stack(read_volume(path), 32) for path in sorted((data_folder / "io_orientation").glob("*.nii.gz"))]
    assert len({stack.orientation for stack in stacks}) == 48
    for stack in stacks[1:]:
        np.testing.assert_allclose(stack.slices, stacks[0].slices, atol=2e-3)


def test_slices_are_seen_as_radiologists_look_at_them():
    """Front above, the patient's right on the left; a mirror image would look sound and be wrong."""
    array = np.zeros((20, 30, 4))
    array[-1, -1] = 1.0  # right and front in RAS
    slices = axial_stack(Volume(array, np.diag([1.0, 1, 5, 1])), 10).slices
    assert slices[0, 0, 0] > 0.1
    assert slices[0, 0, -1] == slices[0, -1, 0] == slices[0, -1, -1] == 0


def test_a_pixel_is_the_mean_of_its_area(rng):
    """Leaving out pixels would make noise of texture; the mean is kept."""
    array = rng.random((48, 36, 3))
    slices = axial_stack(Volume(array, np.diag([1.0, 1, 5, 1])), 12).slices
    low, high = np.percentile(array[array > array.min()], [0.5, 99.5])
    blocks = np.clip((array - low) / (high - low), 0, 1).reshape(12, 4, 12, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(slices, np.transpose(blocks[::-1, ::-1], (2, 1, 0)), atol=1e-5)


def test_series_are_told_and_oblique_ones_resampled(body):
    """A sagittal series read as axial would show slices that do not exist."""
    thick = Volume(body.array, np.diag([9.0, 1, 1, 1]))
    assert "sagittal series" in axial_stack(thick, 16).flags[0]
    angle = np.radians(30)
    turned = np.eye(4)
    turned[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = axial_stack(Volume(body.array, turned @ np.diag([3.0, 3, 3, 1])), 16)
    assert "oblique by 30 degrees" in oblique.flags[0]
    assert oblique.indices is None
    assert np.ptp(oblique.heights_mm) == pytest.approx(3 * (19 * np.sin(angle) + 17 * np.cos(angle)), abs=4)
    thin = axial_stack(Volume(np.random.default_rng(0).random((8, 8, 90)), np.diag([1.0, 1, 1, 1])), 8)
    assert thin.spacing_mm == 2.0
    assert len(thin.slices) == 45


BAD = [
    (Volume(np.zeros((4, 4)), np.eye(4)), "2-dimensional"),
    (Volume(np.full((4, 4, 4), np.nan), np.eye(4)), "64 voxels are NaN"),
    (Volume(np.zeros((4, 4, 4)), np.eye(4)), "every voxel is 0"),
    (Volume(np.random.rand(4, 4, 4), np.diag([1.0, 0, 1, 1])), "singular"),
    (Volume(np.random.rand(4, 4, 1), np.eye(4)), "only 1 axial slice"),
]


def test_a_header_in_metres_is_flagged_not_fatal():
    """Thinned to 2.5 mm nothing would be left of it."""
    stack = axial_stack(Volume(np.random.default_rng(0).random((8, 8, 40)), np.diag([0.001, 0.001, 0.005, 1])), 8)
    assert len(stack.slices) == 2
    assert "implausible voxel size" in stack.flags[0]


@pytest.mark.parametrize(("volume", "message"), BAD, ids=[item[1] for item in BAD])
def test_what_is_no_volume_is_refused(volume, message):
    """In words, before the network sees it."""
    with pytest.raises(UserError, match=message):
        axial_stack(volume, 16)


def test_regions_by_slices_millimetres_or_labels(body, tmp_path):
    """Three ways to say the same; a file stored head first counts its slices from the head."""
    for flips in ((1, 1, 1), (1, 1, -1)):
        volume = stored(body, np.arange(3), np.array(flips))
        stack = axial_stack(volume, 8)
        by_mm = slice_classes("legs 97.5:120 mm; pelvis 120:300 mm", stack, tmp_path)
        assert [CLASSES[item] for item in by_mm] == ["legs"] * 4 + ["pelvis"] * 14
        text = "legs 0:3; pelvis 4:17" if flips[2] > 0 else "pelvis 0:13; legs 14:17"
        np.testing.assert_array_equal(slice_classes(text, stack, tmp_path), by_mm)
        labels = np.zeros(volume.array.shape, "uint8")
        first = slice(0, 4) if flips[2] > 0 else slice(14, 18)
        labels[2:, :, :] = 2
        labels[2:, :, first] = 1
        write_volume(tmp_path / "labels.nii.gz", Volume(labels, volume.affine))
        np.testing.assert_array_equal(slice_classes("labels.nii.gz", stack, tmp_path), by_mm)
    upside_down = stored(body, np.arange(3), np.array((1, 1, -1)))
    with pytest.raises(UserError, match="lies on another grid than its image"):
        slice_classes("labels.nii.gz", axial_stack(body, 8), tmp_path, body)
    assert slice_classes("labels.nii.gz", stack, tmp_path, upside_down) is not None
    assert set(slice_classes("Spine", stack, tmp_path)) == {6}
    assert list(slice_classes("ignore 0:3; head 10:17", stack, tmp_path)[::-1][:4]) == [-1] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chst 0:4", "'chst' is unknown"),
        ("chest 0-4", "not understood"),
        ("chest 1.2.3:4", "not understood"),
        ("chest 0:4; head 4:8", "overlaps"),
        ("chest 90:95", "covers no slice; the volume goes from 0 to 17"),
        (" ", "none is given"),
    ],
)
def test_wrong_regions_are_explained(text, message, body, tmp_path):
    """A typing error that counts as air would be trained on."""
    with pytest.raises(UserError, match=message):
        slice_classes(text, axial_stack(body, 8), tmp_path)


def test_a_simulated_body_has_its_regions_where_it_says():
    """Truth that does not fit the image would measure nothing: the lungs are in the chest, the brain in the head."""
    whole = next(scan for number in range(40) if (scan := Scan(BodiesConfig(matrix=48), number)).kind == "whole")
    stack = axial_stack(whole.volume(), 48)
    classes = slice_classes(whole.regions(), stack, ".")
    seen = [CLASSES[item] for item in dict.fromkeys(classes[classes > 0])]
    assert seen == ["legs", "pelvis", "abdomen", "chest", "head"]
    body = whole.body
    heights = stack.heights_mm - whole.origin
    assert CLASSES[classes[np.argmin(np.abs(heights - body.heights["dome"] - 60))]] == "chest"
    x = np.arange(-200, 201, 8.0)
    tissue = body.tissues(x, np.arange(-120, 121, 8.0), heights)
    for name, region in (("lung", "chest"), ("white", "head")):
        from app.data.phantoms.body_grid import TISSUE

        amount = (tissue == TISSUE[name]).sum(axis=(0, 1))
        assert CLASSES[classes[np.argmax(amount)]] == region


def test_simulated_scans_are_seeded_and_differ():
    """The same number gives the same file, another another."""
    scans = [Scan(BodiesConfig(matrix=24, seed=seed), number).volume() for seed, number in ((0, 1), (0, 1), (0, 2))]
    np.testing.assert_array_equal(scans[0].array, scans[1].array)
    assert scans[0].array.shape != scans[2].array.shape or np.any(scans[0].array != scans[2].array)
    kinds = {Scan(BodiesConfig(matrix=24), number).kind for number in range(30)}
    assert kinds == {"whole", "part", "spine"}
