"""Headers of four formats, read as ITK and nibabel read them."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from app.data.read import read_volume
from app.data.write import write_volume
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, nrrd, packed
from tests.app.value_cases import put


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
