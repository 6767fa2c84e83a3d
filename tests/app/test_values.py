"""Values of images: types, byte orders, scalings, NaN; and files that are not what their names say."""

import warnings

import nibabel
import numpy as np
import pytest

from app.data.inputs import find_volumes
from app.data.read import read_labels, read_volume
from app.data.sound import not_finite
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.systems.fov.cohort import read_examinations
from app.systems.fov.config import FovDataConfig
from app.systems.masks.cohort import read_cases
from app.systems.masks.config import CubeDataConfig
from app.systems.registration.checks import check_cohort, check_image
from app.systems.registration.cohort import Subject
from app.systems.registration.config import CohortConfig
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd, packed
from tests.app.value_cases import put, refused

TYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", TYPES)
def test_types_and_byte_orders(tmp_path, dtype, order):
    """Bytes in the other order are noise; 64 bits cut to 32 are other labels."""
    array = ARRAY.astype(dtype)
    array[0, 0, 0] = 100 if dtype == "int8" else np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 0.1
    names = {"int64": "MET_LONG_LONG", "uint64": "MET_ULONG_LONG", "int32": "MET_INT", "uint32": "MET_UINT"}
    swapped = array.astype(array.dtype.newbyteorder(order))
    kind = {"ElementType": names[dtype]} if dtype in names else {}
    endian = "little" if order == "<" else "big"
    for name, content in {
        "a.nii": nifti(array, order),
        "b.nii": nifti(array, order, start=544, kind=nibabel.Nifti2Header),
        "a.mha": meta(swapped, BinaryDataByteOrderMSB=order == ">", **kind),
        "a.nrrd": nrrd(swapped, endian=endian),
        "a.npz": npz(vol=swapped, affine=AFFINE),
    }.items():
        volume = read_volume(put(tmp_path, name, content))
        assert volume.array.dtype == np.dtype(dtype)
        assert volume.array.dtype.isnative
        np.testing.assert_array_equal(volume.array, array)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize(
    "suffix", [".nii", ".nii.gz", ".mgz", ".mha", ".nrrd", ".npz", ".NII.GZ", ".MHA", ".MGZ", ".NRRD"]
)
@pytest.mark.parametrize("dtype", [*TYPES, "bool", "float16", "longdouble"])
def test_every_type_is_written_and_read(tmp_path, suffix, dtype):
    """A mask of booleans, or labels of 64 bits, must not fail when the result is written, nor come back as others."""
    array = ARRAY % 2 if dtype == "bool" else ARRAY % 100
    path = tmp_path / f"a{suffix}"
    write_volume(path, Volume(array.astype(dtype), AFFINE))
    np.testing.assert_array_equal(read_volume(path).array, array)
    assert read_labels(path).array.dtype.kind in "iu"


def test_labels_of_more_than_32_bits(tmp_path):
    """Some parcellations number by 64 bits: MGH cannot hold them, and must not cut them off."""
    large = ARRAY.astype("uint64") + np.uint64(2**40)
    write_volume(tmp_path / "a.nii", Volume(large, AFFINE))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.nii").array, large)
    with pytest.raises(UserError, match="beyond 32 bits"):
        write_volume(tmp_path / "a.mgz", Volume(large, AFFINE))
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"datatype": 1, "bitpix": 1}, "voxels of type binary"),
        ({"datatype": 1536, "bitpix": 128}, "voxels of type float128; save them as integers or as float64"),
        ({"datatype": 32, "bitpix": 64}, "complex values (complex64); save their magnitude"),
        ({"datatype": 1792, "bitpix": 128}, "complex values"),
        ({"datatype": 2048, "bitpix": 256}, "complex values"),
        ({"datatype": 128, "bitpix": 24}, "a colour image"),
        ({"datatype": 2304, "bitpix": 32}, "a colour image"),
        ({"datatype": 9999}, "unknown type"),
        ({"datatype": 0}, "save them as integers or as float64"),
    ],
)
def test_types_that_are_no_grey_values(tmp_path, fields, words):
    """The real part of a complex image, taken for the image, is another image."""
    refused(put(tmp_path, "a.nii", nifti(**fields)), words)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (nifti(np.zeros((3, 4, 5, 1, 3), "float32")), "a.nii"),
        (meta(ElementNumberOfChannels=3), "a.mha"),
        (meta(ElementNumberOfChannels=3, ElementType="MET_FLOAT_ARRAY"), "a.mhd"),
        (nrrd(dimension=4, sizes="3 3 4 5", kinds="vector domain domain domain",
              space_directions="none (1,0,0) (0,1,0) (0,0,1)"), "a.nrrd"),
        (nrrd(dimension=4, sizes="3 3 4 5", kinds="RGB-color domain domain domain",
              space_directions="none (1,0,0) (0,1,0) (0,0,1)"), "b.nrrd"),
        (nrrd(dimension=4, sizes="2 3 4 5", kinds="list domain domain domain",
              space_directions="none (1,0,0) (0,1,0) (0,0,1)"), "a.seg.nrrd"),
        (nrrd(dimension=4, sizes="3 4 5 6", kinds="domain domain domain time",
              space_directions="(1,0,0) (0,1,0) (0,0,1) none"), "c.nrrd"),
        (npz(vol=np.zeros((3, 4, 5), [("x", "f4"), ("y", "f4")])), "a.npz"),
    ],
)  # fmt: skip
def test_several_values_a_voxel(tmp_path, content, name):
    """A displacement or layered segmentation is no image; its first component, taken for one, is nonsense."""
    path = put(tmp_path, name, content)
    with pytest.raises(UserError, match=r"values a voxel|colour image"):
        read_volume(path)


def test_one_layer_is_an_image(tmp_path):
    """3D Slicer writes a segmentation of one layer with an axis of length 1 in front."""
    content = nrrd(dimension=4, sizes="1 3 4 5", kinds="list domain domain domain",
                   space_directions="none (0,1.5,0) (2,0,0) (0,0,3)")  # fmt: skip
    volume = read_volume(put(tmp_path, "a.seg.nrrd", content))
    np.testing.assert_array_equal(volume.array, ARRAY)


@pytest.mark.parametrize(
    ("slope", "intercept", "expected"),
    [
        (0, 0, ARRAY), (0, 7, ARRAY), (np.nan, np.nan, ARRAY), (np.nan, 3, ARRAY), (1, 0, ARRAY),
        (2, -3, 2.0 * ARRAY - 3), (-1, 0, -1.0 * ARRAY), (2, np.nan, None), (np.inf, 0, None), (1, np.inf, None),
    ],
)  # fmt: skip
def test_scaling_of_nifti(tmp_path, slope, intercept, expected):
    """A slope of 0 says that there is none: multiplied by, the image is empty."""
    path = put(tmp_path, "a.nii", nifti(scl_slope=slope, scl_inter=intercept))
    if expected is None:
        refused(path, "correct the header")
        return
    np.testing.assert_array_equal(read_volume(path).array, expected)
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(path).dataobj), expected)


def with_nan(count=4):
    array = ARRAY.astype("float32")
    array[0, 0, :count] = np.nan
    return array


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii", lambda array: nifti(array)),
        ("a.nii.gz", lambda array: packed(nifti(array))),
        ("a.mgh", lambda array: mgh(array)),
        ("a.mha", lambda array: meta(array)),
        ("a.nrrd", lambda array: nrrd(array)),
        ("a.npz", lambda array: npz(vol=array, affine=AFFINE)),
    ],
)
def test_nan_is_read_as_zero_on_demand(tmp_path, capsys, name, content):
    """Programs that resample leave NaN outside; as 0 they are background. Only on demand, and never infinite ones."""
    path = put(tmp_path, name, content(with_nan()))
    assert not_finite(read_volume(path).array) == [
        "4 voxels are NaN or infinite, read in 32 bits; replace them, e.g. by 0, or set nan: zero for NaN"
    ]
    capsys.readouterr()
    volume = read_volume(path, "zero")
    assert capsys.readouterr().out == f"note: {path}: 4 voxels are NaN; read as 0\n"
    np.testing.assert_array_equal(volume.array, np.nan_to_num(with_nan()))
    array = with_nan()
    array[2, 2, 2] = np.inf
    assert not_finite(read_volume(put(tmp_path, name, content(array)), "zero").array)


def test_labels_stay_strict(tmp_path):
    """NaN in a label map is no background: nobody knows what it was."""
    with pytest.raises(UserError, match="whole numbers"):
        read_labels(put(tmp_path, "a.nii", nifti(with_nan())))


def test_every_config_that_reads_images_can_say_so(tmp_path):
    """A key that one task knows and another ignores."""
    path = put(tmp_path, "a.nii", nifti(with_nan()))
    assert check_image(path, 3)[1]
    assert not check_image(path, 3, "zero")[1]
    (scan,), _ = find_volumes([path], "zero")
    assert np.isfinite(scan.volume().array).all()
    (tmp_path / "c.csv").write_text("subject,image,mask\na,a.nii,a.nii\n")
    (tmp_path / "r.csv").write_text("subject,image,regions\na,a.nii,chest\n")
    cubes = CubeDataConfig(cohort=tmp_path / "c.csv", nan="zero")
    assert np.isfinite(read_cases(cubes.cohort, cubes.nan)[0].volume().array).all()
    assert read_examinations(tmp_path / "r.csv", FovDataConfig(cohort="r.csv", nan="zero").nan)[0].nan == "zero"
    pairs = CohortConfig(cohort=tmp_path / "c.csv", nan="zero")
    assert check_cohort([Subject("a", path), Subject("b", path)], pairs, 3).shape == (3, 4, 5)
    with pytest.raises(UserError, match="4 voxels are NaN"):
        check_cohort([Subject("a", path), Subject("b", path)], CohortConfig(cohort=tmp_path / "c.csv"), 3)


def test_reading_warns_of_nothing(tmp_path):
    """A warning of NumPy's on the screen helps nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_volume(put(tmp_path, "a.nii", nifti(scl_slope=np.nan)))
        read_volume(put(tmp_path, "a.npz", npz(vol=with_nan(), affine=AFFINE)), "zero")
