"""Images, masks and warps in all 48 orientations: other programs find them in the same millimetres as we do."""

import dataclasses
import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK

from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.transforms.fields import write_field
from app.transforms.transform import Field
from tests.app.image_files import ARRAY

FORMATS = (".nii.gz", ".mgz", ".nrrd", ".mha")
SPACING, ORIGIN = np.array([1.5, 2.0, 3.0]), np.array([31.0, -47.0, 59.0])
TO_LPS = np.array([-1.0, -1.0, 1.0])
CORNERS = np.array(list(itertools.product(*[(0, size - 1) for size in ARRAY.shape])))
CLOSE = 1e-3  # mm


def orientations():
    """48 affines: each order of the axes, each with either sign."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = np.eye(3)[:, order] * signs * SPACING
            affine[:3, 3] = ORIGIN
            yield affine


def places(affine):
    """Where the corners of the array are, in RAS mm."""
    return CORNERS @ affine[:3, :3].T + affine[:3, 3]


def write_elsewhere(path, affine):
    """An image as another program writes it."""
    if path.name.endswith((".nii.gz", ".mgz")):
        kind = nibabel.MGHImage if path.name.endswith(".mgz") else nibabel.Nifti1Image
        return nibabel.save(kind(ARRAY, affine), path)
    image = SimpleITK.GetImageFromArray(ARRAY.T)
    image.SetSpacing(SPACING.tolist())
    image.SetOrigin((TO_LPS * affine[:3, 3]).tolist())
    image.SetDirection((TO_LPS[:, None] * affine[:3, :3] / SPACING).ravel().tolist())
    return SimpleITK.WriteImage(image, str(path), useCompression=True)


def readings(path):
    """What other programs read of a file: arrays, `(i, j, k[, 3])`, and the places of its corners in RAS mm."""
    if not path.name.endswith(".mgz"):  # which ITK does not know
        image = SimpleITK.ReadImage(str(path))
        points = np.array([image.TransformIndexToPhysicalPoint(corner) for corner in CORNERS.tolist()])
        vector = image.GetNumberOfComponentsPerPixel() > 1
        array = SimpleITK.GetArrayFromImage(image)
        yield np.moveaxis(array, -1, 0).T if vector else array.T, points * TO_LPS
    if path.name.endswith((".nii.gz", ".mgz")):
        image = nibabel.load(path)
        array = np.asarray(image.dataobj)
        yield array[:, :, :, 0] if array.ndim == 5 else array, places(image.affine)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["image", "mask", "warp"])
def test_the_same_millimetres_everywhere(tmp_path, suffix, kind, rng):
    """An axis that is turned or mirrored on the way puts a kidney, or a displacement, on the other side."""
    count = 0
    for affine in orientations():
        write_elsewhere(tmp_path / f"in{suffix}", affine)
        volume = read_volume(tmp_path / f"in{suffix}")
        np.testing.assert_array_equal(volume.array, ARRAY)
        np.testing.assert_allclose(places(volume.affine), places(affine), atol=CLOSE)
        if kind == "warp":
            field = rng.normal(0, 2, (*ARRAY.shape, 3)).astype("float32")
            path = tmp_path / "warp.nii.gz"  # of every image: the one format of displacements
            write_field(path, Field.of_voxels(field, volume.affine))
            expected = field @ affine[:3, :3].T * TO_LPS  # ITK's vectors are LPS mm
            paths = [path]
        else:
            expected = ARRAY if kind == "image" else (ARRAY > 100).astype("uint8")
            written = dataclasses.replace(volume, array=expected)
            paths = [tmp_path / f"out{suffix}", tmp_path / "result.nii.gz"]
            for path in paths:
                write_volume(path, written)
                np.testing.assert_allclose(places(read_volume(path).affine), places(affine), atol=CLOSE)
        for path in paths:
            for array, corners in readings(path):
                np.testing.assert_allclose(array, expected, atol=CLOSE if kind == "warp" else 0)
                np.testing.assert_allclose(corners, places(affine), atol=CLOSE)
                count += 1
    each = 2 if kind == "warp" else {".nii.gz": 4, ".mgz": 3, ".nrrd": 3, ".mha": 3}[suffix]
    assert count == 48 * each


def test_a_warp_moves_in_itk_what_it_moves_here(tmp_path, rng):
    """Vectors in another frame pull the image elsewhere, in some orientations only."""
    from scipy.ndimage import map_coordinates

    smooth = np.outer(np.arange(12.0), np.ones(11))[..., None] + np.arange(10.0) ** 2
    for affine in list(orientations())[::5]:
        volume = Volume(smooth.astype("float32"), affine)
        field = np.broadcast_to(rng.uniform(-1, 1, 3), (*smooth.shape, 3)).astype("float32")
        write_volume(tmp_path / "image.nii.gz", volume)
        write_field(tmp_path / "warp.nii.gz", Field.of_voxels(field, affine))
        image = SimpleITK.ReadImage(str(tmp_path / "image.nii.gz"))
        warp = SimpleITK.Cast(SimpleITK.ReadImage(str(tmp_path / "warp.nii.gz")), SimpleITK.sitkVectorFloat64)
        moved = SimpleITK.Resample(image, image, SimpleITK.DisplacementFieldTransform(warp), SimpleITK.sitkLinear)
        index = np.indices(smooth.shape) + np.moveaxis(field, -1, 0)
        ours = map_coordinates(smooth, index, order=1)
        inner = (slice(2, -2),) * 3
        np.testing.assert_allclose(SimpleITK.GetArrayFromImage(moved).T[inner], ours[inner], atol=1e-3)
