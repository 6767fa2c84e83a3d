"""Pixels of DICOM files: scaled, signed, compressed, damaged."""

import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from dcm2niix import bin as dcm2niix
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from app.data.dicom import read_dicom_folder
from app.data.read import read_volume
from app.errors import UserError
from tests.app.dicom_cases import check
from tests.app.dicom_files import (
    CT,
    PET,
    write_dicom,
    write_enhanced,
    write_slices,
)


def test_slopes_that_differ_by_slice(array, tmp_path):
    """In PET each slice has its own: by the first slice's the others would be wrong by a factor."""
    slopes = 0.5 + np.arange(6)
    write_slices(tmp_path / "s", array, each=lambda n: {"RescaleSlope": slopes[n], "RescaleIntercept": -3.0}, kind=PET)
    check(tmp_path / "s", (array * slopes[:, None, None] - 3).astype("float32"))

    def scaled(n):
        return {"PixelValueTransformationSequence": {"RescaleSlope": slopes[n], "RescaleIntercept": 1.0}}

    write_enhanced(tmp_path / "e" / "a", array, np.array([3, 1, 0, 2, 5, 4]), scaled)
    check(tmp_path / "e", (array * slopes[:, None, None] + 1).astype("float32"))


def test_signed_values_and_padding(array, tmp_path):
    """-2000 beyond the scanner's circle would become 63536, the brightest of all."""
    signed = array.astype("int16") - 1024
    signed[:, :2] = -2000
    write_slices(tmp_path / "s", signed, RescaleSlope=1.0, RescaleIntercept=0.0, PixelPaddingValue=-2000)
    check(tmp_path / "s", signed)
    write_slices(tmp_path / "u", array, RescaleSlope=1.0, RescaleIntercept=-1024.0)
    check(tmp_path / "u", array.astype("int32") - 1024)


def test_colours_are_refused_and_inverted_greys_are_said(array, tmp_path):
    """A palette's numbers are names of colours."""
    write_slices(tmp_path / "p", array, PhotometricInterpretation="PALETTE COLOR")
    assert all("a colour picture" in line for line in read_dicom_folder(tmp_path / "p")[1])
    write_slices(tmp_path / "rgb", np.repeat(array.astype("uint8"), 3, axis=2), SamplesPerPixel=3, Columns=12,
                 PhotometricInterpretation="RGB", PlanarConfiguration=0)  # fmt: skip
    with pytest.raises(UserError, match="a colour picture"):
        read_volume(tmp_path / "rgb")
    write_slices(tmp_path / "m", array, PhotometricInterpretation="MONOCHROME1")
    check(tmp_path / "m", array, flags=["MONOCHROME1: values are as stored"])


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_pixels(array, tmp_path, syntax):
    """Archives compress; a decoder that is missing must not show up in the clinic."""
    array = np.kron(array, np.ones((1, 5, 4), "uint16"))  # JPEG 2000 wants more than ten pixels
    write_slices(tmp_path / "s", array, RescaleSlope=2.0, RescaleIntercept=-7.0)
    for path in (tmp_path / "s").iterdir():
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    check(tmp_path / "s", (2.0 * array - 7).astype("float32"))
    damaged = sorted((tmp_path / "s").iterdir())[2]
    damaged.write_bytes(damaged.read_bytes()[:-60])
    (series,), _ = read_dicom_folder(tmp_path / "s")
    with pytest.raises(UserError, match=damaged.name):
        series.volume()


def test_lossless_jpeg(array, tmp_path):
    """What most hospitals' archives send."""
    for number, pixels in enumerate(array):
        image = SimpleITK.GetImageFromArray(pixels[None])
        image.SetSpacing([1.5, 2.0, 1.0])
        tags = {"0020|0032": f"-10\\20\\{5 + 4 * number}", "0020|0037": "1\\0\\0\\0\\1\\0", "0020|000e": "1.2.3.4",
                "0008|0060": "MR", "0008|0018": f"1.2.3.{number}"}  # fmt: skip
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(tmp_path / f"{number}.dcm"))
        writer.Execute(image)
    assert pydicom.dcmread(tmp_path / "0.dcm").file_meta.TransferSyntaxUID.is_compressed
    check(tmp_path, array)


def test_slices_with_pixels_of_two_sizes_are_refused(array, tmp_path):
    """Stacked, half of the body would be a quarter larger."""
    write_slices(tmp_path / "s", array, each=lambda n: {"PixelSpacing": [2.0, 1.5] if n < 3 else [2.5, 1.875]})
    assert "pixels of 2 sizes" in read_dicom_folder(tmp_path / "s")[1][0]

    def measured(n):
        return {"PixelMeasuresSequence": {"PixelSpacing": [2.0 + n, 1.5]}}

    write_enhanced(tmp_path / "e" / "a", array, each=measured)
    assert "pixels of 6 sizes" in read_dicom_folder(tmp_path / "e")[1][0]


def test_what_lies_in_a_header_is_not_believed(array, tmp_path):
    """A file of a kilobyte that claims a terabyte must not take one; a slice cut short is no slice."""
    for name, elements in {
        "frames": {"NumberOfFrames": 10**9},
        "rows": {"Rows": 65535, "Columns": 65535},
        "few": {"NumberOfFrames": 70},
    }.items():
        write_dicom(tmp_path / name / "a", array, CT, PixelSpacing=[2.0, 1.5], SliceThickness=4.0, **elements)
        (line,) = read_dicom_folder(tmp_path / name)[1]
        assert "claims" in line, line
    write_slices(tmp_path / "cut", array)
    cut = tmp_path / "cut" / "007"
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(UserError, match="007"):
        read_volume(tmp_path / "cut")
    path = write_enhanced(tmp_path / "groups" / "a", array)
    data = pydicom.dcmread(path)
    data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[:4]
    data.save_as(path)
    assert "6 frames, but positions for 4" in read_dicom_folder(tmp_path / "groups")[1][0]


def test_deep_and_broken_sequences_do_not_hang(array, tmp_path):
    """A hundred thousand levels would end Python; a length beyond the file would be read for ever."""
    head = write_dicom(tmp_path / "ok" / "a", array[0], CT).read_bytes()
    deep = b"\x18\x00\x14\x91SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    for name, content in {
        "deep": head[:-200] + deep * 20000,
        "long": head[:400] + b"\x08\x00\x40\x11SQ\0\0\xf0\xff\xff\x7f" + head[400:],
        "odd": head[:300] + bytes(7) + head[300:],
        "short": head[:160],
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(content)
        series, refused = read_dicom_folder(tmp_path / name)
        assert not series
        assert all(len(line) < 500 for line in refused)


@pytest.mark.parametrize("kind", ["slices", "enhanced", "pet", "oblique"])
def test_dicom_as_dcm2niix_has_it(array, tmp_path, kind):
    """The converter that the field uses: the same values at the same millimetres."""
    if kind == "slices":
        write_slices(tmp_path / "s", array)
    elif kind == "enhanced":
        write_enhanced(tmp_path / "s" / "a", array, np.array([0, 3, 1, 4, 2, 5]))
    elif kind == "pet":
        write_slices(tmp_path / "s", array, each=lambda n: {"RescaleSlope": 1.0 + n, "RescaleIntercept": 0.0}, kind=PET,
                     Modality="PT")  # fmt: skip
    else:
        turn = np.linalg.qr(np.array([[1.0, 0.2, 0.1], [-0.2, 1.0, 0.3], [0.0, -0.3, 1.0]]))[0]
        turn = turn * np.sign(np.linalg.det(turn))
        write_slices(tmp_path / "s", array, positions=[turn @ [-10, 20, 5 + 4 * n] for n in range(6)],
                     ImageOrientationPatient=[*np.round(turn[:, 0], 7), *np.round(turn[:, 1], 7)])  # fmt: skip
    done = subprocess.run(
        [dcm2niix, "-o", tmp_path, "-f", "out", "-b", "n", tmp_path / "s"], capture_output=True, text=True
    )
    image = nibabel.load(tmp_path / "out.nii")
    ours, theirs = read_volume(tmp_path / "s"), np.asarray(image.dataobj)
    assert ours.array.shape == theirs.shape, done.stdout
    for voxel in np.ndindex(3, 3, 3):
        voxel = np.array(voxel) * [5, 4, 2]
        place = np.linalg.solve(image.affine, ours.affine @ [*voxel, 1])[:3]
        np.testing.assert_allclose(place, np.rint(place), atol=0.01)
        assert ours.array[tuple(voxel)] == pytest.approx(theirs[tuple(np.rint(place).astype(int))], rel=1e-3)
