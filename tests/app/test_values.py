"""Values of images: types, byte orders, scalings, NaN; and files that are not what their names say."""

import gzip
import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK

from app.data.inputs import find_volumes
from app.data.read import read_labels, read_volume
from app.data.sound import not_finite
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.notes import forget
from app.systems.fov.cohort import read_examinations
from app.systems.fov.config import FovDataConfig
from app.systems.masks.cohort import read_cases
from app.systems.masks.config import CubeDataConfig
from app.systems.registration.checks import check_cohort, check_image
from app.systems.registration.cohort import Subject
from app.systems.registration.config import CohortConfig
from app.systems.template.points import read_points
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd, packed

TYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


@pytest.fixture(autouse=True)
def _new_command():
    forget()


def put(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def refused(path, words):
    with pytest.raises(UserError) as error:
        read_volume(path)
    assert words in str(error.value), str(error.value)


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
    (scan,), _ = find_volumes([path])
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


NAMED = [
    ("packed.nii", packed(nifti()), "compressed; read as such"),
    ("plain.nii.gz", nifti(), "not compressed; read as such"),
    ("plain.mgz", mgh(), "not compressed; read as such"),
    ("packed.mgh", packed(mgh()), "compressed; read as such"),
    ("nrrd.nii.gz", nrrd(), "by its content NRRD"),
    ("meta.nrrd", meta(), "by its content MetaImage"),
    ("nifti.mha", nifti(), "by its content NIfTI"),
    ("nifti.mgz", packed(nifti()), "by its content NIfTI"),
    ("single.hdr", nifti(), "by its content NIfTI"),
    ("UPPER.NII", nifti(), ""),
    ("UPPER.NII.GZ", packed(nifti()), ""),
    ("Mixed.Nii.Gz", packed(nifti()), ""),
    ("UPPER.MHA", meta(), ""),
    ("UPPER.NRRD", nrrd(), ""),
    ("UPPER.MGZ", packed(mgh()), ""),
    ("UPPER.NPZ", npz(vol=ARRAY, affine=AFFINE), ""),
    ("members.nii.gz", gzip.compress(nifti()[:400]) + gzip.compress(nifti()[400:]), ""),
]


@pytest.mark.parametrize(("name", "content", "note"), NAMED, ids=[item[0] for item in NAMED])
def test_content_counts_and_not_the_name(tmp_path, capsys, name, content, note):
    """Browsers unpack, people rename: the image is there all the same, and what was odd about it is said."""
    path = put(tmp_path, name, content)
    volume = read_volume(path)
    printed = capsys.readouterr().out
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert note in printed
    assert bool(printed) == bool(note)
    (scan,), problems = find_volumes([path])
    assert not problems
    assert scan.name == name.split(".")[0]


def tar(content):
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("a.nii")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


STRANGE = [
    ("zip", b"PK\x03\x04" + bytes(100), "a zip archive; unpack it"),
    ("tar", tar(nifti()), "a tar archive; unpack it"),
    ("tar.gz", packed(tar(nifti())), "a tar archive; unpack it"),
    ("twice", packed(packed(nifti())), "compressed twice"),
    ("xz", b"\xfd7zXZ\x00" + bytes(50), "unpack it"),
    ("bzip2", b"BZh91AY" + bytes(50), "unpack it"),
    ("web page", b"<!DOCTYPE html>\n<html><body>Log in</body></html>", "a web page, so the download failed"),
    ("web page, packed", packed(b"\n <HTML><head>"), "a web page, so the download failed"),
    ("error of a server", b'<?xml version="1.0"?><Error>AccessDenied</Error>', "an XML document"),
    ("JSON of a server", b'{"detail": "not found"}', "a text, not an image"),
    ("DICOM", bytes(128) + b"DICM" + bytes(100), "one file of a DICOM series; give its folder"),
    ("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n", "git lfs pull"),
    ("git-annex", b"/annex/objects/SHA256E-s123--abc.nii.gz\n", "git annex get"),
    ("git-annex link", b"../.git/annex/objects/aa/bb/SHA256E-s1.nii.gz", "git annex get"),
    ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5 or MINC"),
    ("PNG", b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture or a document"),
    ("JPEG", b"\xff\xd8\xff\xe0" + bytes(50), "a picture or a document"),
    ("AppleDouble", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(60), "what macOS keeps beside a file"),
    ("empty", b"", "the file is empty"),
    ("empty, packed", packed(b""), "the file is empty"),
    ("noise", bytes(range(128, 256)) * 8 + bytes(8), "by its content no "),
    ("damaged gzip", b"\x1f\x8b\x08\x00" + b"\xff" * 60, "damaged gzip file"),
    ("Analyze", nifti(start=348, magic=b"")[:348], "does not say how an image lies; save it as NIfTI"),
    ("Analyze, big-endian", nifti(order=">", start=348, magic=b"")[:348], "save it as NIfTI"),
]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".hdr", ".mgz", ".mha", ".nrrd", ".npz"])
@pytest.mark.parametrize(("kind", "content", "words"), STRANGE, ids=[item[0] for item in STRANGE])
def test_something_else_is_called_by_its_name(tmp_path, kind, content, words, suffix):
    """'Damaged' sends people to look for another disk, where a login page was saved."""
    path = put(tmp_path, f"a{suffix}", content)
    if (kind, suffix) == ("zip", ".npz"):
        words = "damaged"
    refused(path, words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.img", ARRAY.tobytes(), "give the .hdr beside it"),
        ("A.IMG", ARRAY.tobytes(), "give the .hdr beside it"),
        ("a", packed(nifti()), "by its content NIfTI: name it so, .nii.gz"),
        ("a.gz", packed(nifti()), "by its content NIfTI: name it so, .nii.gz"),
        ("a.nii.1", nrrd(), "by its content NRRD: name it so, .nrrd"),
        ("a.nii.bz2", b"BZh91AY", "compressed by another program than gzip"),
        ("a.png", b"\x89PNG\r\n", "a picture or a document"),
        ("a.raw", bytes(range(256)), "expected .nii.gz, .nii,"),
        ("a.mnc", b"\x89HDF\r\n\x1a\n", "HDF5 or MINC"),
    ],
)
def test_names_of_no_image(tmp_path, name, content, words):
    """What it is may be seen all the same, and what to do."""
    refused(put(tmp_path, name, content), f"unknown image format; {words}")


def test_larger_images_of_every_packing(tmp_path, rng):
    """Streams are longer than one buffer; noise is longer packed than plain."""
    large = rng.integers(0, 2**15, (70, 90, 60)).astype("int16")
    for name in ("a.nii.gz", "a.mgz", "a.mha", "a.nrrd", "a.npz", "a.nii"):
        write_volume(tmp_path / name, Volume(large, AFFINE))
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, large)


def test_pairs_of_nifti(tmp_path, capsys):
    """Header and voxels in two files, and such a header called .nii."""
    header = nifti(start=0, magic=b"ni1")[:348]
    voxels = ARRAY.tobytes("F")
    for name, image in (("a.hdr", "a.img"), ("B.HDR", "B.IMG"), ("c.nii", "c.img"), ("d.e.hdr", "d.e.img")):
        path = put(tmp_path, name, header)
        refused(path, "put the data file beside the header")
        put(tmp_path, image, voxels)
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, ARRAY)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
        write_volume(tmp_path / "out.nii.gz", volume)
        np.testing.assert_array_equal(read_volume(tmp_path / "out.nii.gz").array, ARRAY)
        put(tmp_path, image, voxels[:-2])
        refused(path, "too short")
    assert "by its content the header of a NIfTI pair" in capsys.readouterr().out
    nibabel.save(nibabel.Nifti1Pair(ARRAY, AFFINE), tmp_path / "f.hdr")
    np.testing.assert_array_equal(read_volume(tmp_path / "f.hdr").array, ARRAY)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.hdr", "a.img", "a.dcm"])
def test_formats_of_two_files_are_not_written(tmp_path, name):
    """The second would have the name of a temporary file."""
    with pytest.raises(UserError, match="images are not written so"):
        write_volume(tmp_path / name, Volume(ARRAY, AFFINE))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr", "A.MHA", "A.NRRD", "B.NII.GZ"])
@pytest.mark.parametrize("compress", [True, False])
def test_files_that_itk_writes(tmp_path, name, compress):
    """What 3D Slicer and SimpleITK write is what most people have: the same voxels, in the same places."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]]) * [1.5, 2.0, 3.0]
    affine[:3, 3] = [11, -12, 13]
    image = SimpleITK.GetImageFromArray(ARRAY.T)
    image.SetSpacing([1.5, 2.0, 3.0])
    image.SetDirection((np.diag([-1.0, -1, 1]) @ affine[:3, :3] / [1.5, 2.0, 3.0]).ravel().tolist())
    image.SetOrigin((np.diag([-1.0, -1, 1]) @ affine[:3, 3]).tolist())
    SimpleITK.WriteImage(image, str(tmp_path / name.lower()), useCompression=compress)
    (tmp_path / name.lower()).rename(tmp_path / name)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)


PLAIN = {"space": None, "space_directions": None, "space_origin": None}
AS_ITK = {
    "half.mha": meta(BinaryDataByteOrderMSB=None, ElementByteOrderMSB="False"),
    "size.mha": meta(ElementSpacing=None, ElementSize="1 2 3"),
    "turned.mha": meta(TransformMatrix="0.36 0.48 -0.8 -0.8 0.6 0 0.48 0.64 0.6"),
    "long.mha": meta(ARRAY.astype("int32"), ElementType="MET_LONG"),
    "windows.mha": meta().replace(b"\n", b"\r\n", 10),
    "plane.mha": meta(
        ARRAY[:, :, 0], NDims=2, DimSize="3 4", TransformMatrix="0 1 1 0", Offset="5 6", ElementSpacing="2 3"
    ),
    "other.mha": meta(AnatomicalOrientation="RAI", CenterOfRotation="1 2 3", TransformMatrix="1 0 0 0 1 0 0 0 1"),
    "plain.nrrd": nrrd(**PLAIN, spacings="1 2 3"),
    "corner.nrrd": nrrd(**PLAIN, spacings="1 2 3", axis_mins="5 6 7", centers="cell cell cell"),
    "node.nrrd": nrrd(**PLAIN, spacings="1 2 3", axis_mins="5 6 7", centers="node node node"),
    "mins.nrrd": nrrd(**PLAIN, spacings="1 2 3", axis_mins="5 6 7"),
    "scanner.nrrd": nrrd(space="scanner-xyz"),
    "skips.nrrd": nrrd(line_skip=1, byte_skip=2, data=b"hello\nxx" + ARRAY.tobytes("F")),
    "packed.nrrd": nrrd(encoding="gzip", byte_skip=2, data=packed(b"xx" + ARRAY.tobytes("F"))),
    "windows.nrrd": nrrd().replace(b"\n", b"\r\n", 10),
    "comments.nrrd": nrrd().replace(b"type:", b"# a comment\nkey:=value\ntype:"),
}


@pytest.mark.parametrize("name", AS_ITK)
def test_headers_are_read_as_itk_reads_them(tmp_path, name):
    """Two readers of one header are one too many, unless they agree."""
    path = put(tmp_path, name, AS_ITK[name])
    volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(volume.array, SimpleITK.GetArrayFromImage(image).T)
    for index in [(0, 0, 0), (2, 0, 0), (0, 3, 0), (0, 0, 4), (2, 3, 4)]:
        index = index[: volume.array.ndim]
        lps = np.zeros(3)
        lps[: len(index)] = image.TransformIndexToPhysicalPoint(index)
        ours = volume.affine[:3, : len(index)] @ index + volume.affine[:3, 3]
        np.testing.assert_allclose(ours, lps * [-1, -1, 1], atol=1e-5)


@pytest.mark.parametrize("name", ["end.mhd", "end.nhdr"])
def test_voxels_at_the_end_of_a_file(tmp_path, name):
    """Some headers are set beside another program's file, whose own header is as long as it likes."""
    content = {
        "end.mhd": meta(ElementDataFile="a.raw", HeaderSize=-1),
        "end.nhdr": nrrd(data_file="a.raw", byte_skip=-1),
    }[name]
    put(tmp_path, "a.raw", b"a header" + ARRAY.tobytes("F"))
    np.testing.assert_array_equal(read_volume(put(tmp_path, name, content)).array, ARRAY)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / name))).T, ARRAY)


@pytest.mark.parametrize("space", ["right-anterior-superior", "RAS", "left-anterior-superior", "LAS", "LPS"])
def test_spaces_of_nrrd(tmp_path, space):
    """Left and right are swapped in one of two spaces."""
    path = put(tmp_path, "a.nrrd", nrrd(space=space))
    image = SimpleITK.ReadImage(str(path))
    matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    np.testing.assert_allclose(read_volume(path).affine[:3, :3], np.diag([-1.0, -1, 1]) @ matrix, atol=1e-5)
    np.testing.assert_allclose(read_volume(path).affine[:3, 3], np.multiply([-1, -1, 1], image.GetOrigin()), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (nrrd(space=None, space_directions=None, space_origin=None, spacings="1 2 3"), "a.nrrd", "how it lies"),
        (nrrd(space="scanner-xyz"), "b.nrrd", "its space is scanner-xyz"),
        (nrrd(space_units='"um" "um" "um"'), "c.nrrd", "turned to millimetres"),
        (meta(DistanceUnits="um"), "a.mha", "turned to millimetres"),
        (mgh(goodRASFlag=0), "a.mgh", "taken to be coronal"),
        (nifti() + b"more", "a.nii", "goes on behind the last voxel"),
        (packed(nifti() + b"more"), "a.nii.gz", "goes on behind the last voxel"),
        (nifti(sform_code=0, qform_code=0), "b.nii", "does not say how it lies"),
    ],
)
def test_what_was_assumed_is_said(tmp_path, capsys, content, name, words):
    """A guess that nobody hears of is a silent error."""
    read_volume(put(tmp_path, name, content))
    assert words in capsys.readouterr().out


def test_lengths_in_other_units(tmp_path):
    """Microns for millimetres make a cell a kilometre wide."""
    nearly = put(tmp_path, "a.nrrd", nrrd(space_units='"um" "um" "um"'))
    np.testing.assert_allclose(read_volume(nearly).affine[:3], AFFINE[:3] / 1000, atol=1e-8)
    np.testing.assert_allclose(
        read_volume(put(tmp_path, "a.mha", meta(DistanceUnits="cm"))).affine[:3], AFFINE[:3] * 10, atol=1e-4
    )


def test_nifti_2_stays_nifti_2(tmp_path):
    """Written as NIfTI-1 its header would lose where it lies."""
    path = put(tmp_path, "a.nii", nifti(start=544, kind=nibabel.Nifti2Header))
    write_volume(tmp_path / "b.nii.gz", read_volume(path))
    written = nibabel.load(tmp_path / "b.nii.gz")
    assert isinstance(written, nibabel.Nifti2Image)
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(written.header.get_qform(), AFFINE, atol=1e-5)


def test_what_follows_the_voxels_of_mgh_is_kept(tmp_path):
    """Repetition and echo time stand there."""
    image = nibabel.MGHImage(ARRAY, AFFINE)
    image.header["tr"], image.header["te"] = 2300.0, 2.98
    nibabel.save(image, tmp_path / "a.mgz")
    write_volume(tmp_path / "b.mgz", read_volume(tmp_path / "a.mgz"))
    header = nibabel.load(tmp_path / "b.mgz").header
    assert (float(header["tr"]), round(float(header["te"]), 2)) == (2300.0, 2.98)


def markups(system="LPS", **changes):
    import json

    points = [
        {"id": "1", "label": "F-1", "description": "", "position": [10.0, -20.0, 30.0], "positionStatus": "defined"},
        {"id": "2", "label": "F-2", "description": "outside", "position": [1, 2, 3]},
        {"id": "3", "label": "F-3", "description": "2 Inside", "position": [4, 5, 6]},
        {"id": "4", "label": "F-4", "position": [0, 0, 0], "positionStatus": "undefined"},
    ]
    points[0].update(changes)
    content = {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": points}]}
    return json.dumps(content).encode()


def fcsv(system):
    line = f"# CoordinateSystem = {system}\n" if system else ""
    return (
        f"# Markups fiducial file version = 4.11\n{line}"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "vtkMRMLMarkupsFiducialNode_0,10.0,-20.0,30.0,0,0,0,1,1,1,0,F-1,,\n"
        'vtkMRMLMarkupsFiducialNode_1,1,2,3,0,0,0,1,1,1,0,"F, two",outside,vtkMRMLScalarVolumeNode1\n'
        "\nvtkMRMLMarkupsFiducialNode_2,4,5,6,0,0,0,1,1,1,0,F-3,2 inside,\n"
    ).encode()


@pytest.mark.parametrize(("system", "ras"), [("LPS", False), ("1", False), ("lps", False), ("RAS", True), ("0", True)])
@pytest.mark.parametrize("name", ["a.mrk.json", "a.fcsv", "A.MRK.JSON", "A.FCSV"])
def test_points_of_slicer(tmp_path, capsys, name, system, ras):
    """Left for right, and front for back, if the system of coordinates is not heeded."""
    content = fcsv(system) if name.lower().endswith("fcsv") else markups(system)
    points = read_points(put(tmp_path, name, content), (2,))
    signs = np.array([1, 1, 1] if ras else [-1, -1, 1])
    np.testing.assert_array_equal(points.places, np.array([[10, -20, 30], [1, 2, 3], [4, 5, 6]]) * signs)
    assert points.inside.tolist() == [True, False, True]
    assert points.structures.tolist() == [0, 0, 0]
    if name == "a.mrk.json":
        assert "F-4: has no place yet; left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.fcsv", fcsv(None), "does not say '# CoordinateSystem"),
        ("a.fcsv", fcsv("IJK"), "in the system IJK"),
        ("a.fcsv", fcsv("LPS").replace(b"-20.0", b"here"), "x, y, z must be numbers"),
        ("a.fcsv", b"# CoordinateSystem = RAS\n", "no points"),
        ("a.mrk.json", markups("2"), "in the system 2"),
        ("a.mrk.json", markups(position=[1, 2]), "no Markups file"),
        ("a.mrk.json", markups(position=["x", "y", "z"]), "x, y, z must be numbers"),
        ("a.mrk.json", markups(position=[float("nan"), 0, 0]), "x, y, z must be numbers"),
        ("a.mrk.json", markups(description="on the border"), "is not understood"),
        ("a.mrk.json", markups(description="inside outside"), "is not understood"),
        ("a.mrk.json", markups(description="inside 7"), "label '7'"),
        ("a.mrk.json", b"[" * 100_000, "no Markups file"),
        ("a.mrk.json", b"[1, 2]", "no Markups file"),
        ("a.mrk.json", b'{"markups": [{"controlPoints": 5}]}', "no Markups file"),
        ("a.mrk.json", b" " * 2**21, "larger than 1 MB"),
        ("a.mrk.json", b"\xff\xfe", "cannot be read"),
    ],
)
def test_points_that_are_not_understood(tmp_path, name, content, words):
    """A point on the wrong side is obeyed in silence."""
    with pytest.raises(UserError) as error:
        read_points(put(tmp_path, name, content), (1, 2))
    assert words in "\n".join(error.value.problems)


def test_reading_warns_of_nothing(tmp_path):
    """A warning of NumPy's on the screen helps nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_volume(put(tmp_path, "a.nii", nifti(scl_slope=np.nan)))
        read_volume(put(tmp_path, "a.npz", npz(vol=with_nan(), affine=AFFINE)), "zero")
