"""DICOM of every kind that scanners and archives write: right, or refused in a line; never a part without a word."""

import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from dcm2niix import bin as dcm2niix
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from app.data.dicom import read_dicom_folder
from app.data.inputs import find_volumes
from app.data.read import read_volume
from app.errors import UserError
from tests.app.dicom_files import (
    AFFINE,
    CT,
    ENHANCED_CT,
    MEASURES,
    NM,
    PET,
    US_VOLUME,
    group,
    without_preamble,
    write_dicom,
    write_enhanced,
    write_slices,
)


@pytest.fixture
def array(rng):
    return rng.integers(0, 900, (6, 10, 12)).astype("uint16")


def check(folder, array, affine=AFFINE, flags=(), part=None):
    """The one volume of a folder: values where they belong, and exactly what must be said of it."""
    (series,), refused = read_dicom_folder(folder, part)
    assert not refused
    assert len(series.flags) == len(flags), series.flags
    for flag, words in zip(series.flags, flags, strict=True):
        assert words in flag
    volume = series.volume()
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(volume.array, np.transpose(array, (2, 1, 0)))
    return volume


@pytest.mark.parametrize("which", ["all", "every other", "first", "odd names"])
def test_files_without_a_preamble_are_slices_too(array, tmp_path, which):
    """Half of the slices would be left out without a word."""
    write_slices(tmp_path / "s", array, each=lambda n: {"name": f"IM {n}, é;.v1"} if which == "odd names" else {})
    for number, path in enumerate(sorted((tmp_path / "s").iterdir())):
        if which == "all" or (which != "first" and number % 2) or (which == "first" and not number):
            without_preamble(path)
    check(tmp_path / "s", array)


def test_other_files_in_the_folder_are_no_slices(array, tmp_path):
    """Notes, pictures and directories of disks lie beside slices."""
    write_slices(tmp_path / "disk" / "S1", array)
    (tmp_path / "disk" / "S1" / "notes.txt").write_text("\x08\x00 seen by Dr. X")
    (tmp_path / "disk" / "S1" / "thumb.png").write_bytes(b"\x89PNG" + bytes(200))
    (tmp_path / "disk" / "S1" / "empty").write_bytes(b"")
    (tmp_path / "disk" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(50))
    check(tmp_path / "disk" / "S1", array)
    with pytest.raises(UserError, match="one file of a DICOM series, or no image; give the folder"):
        read_volume(tmp_path / "disk" / "S1" / "007")
    for given in (tmp_path / "disk", tmp_path / "disk" / "DICOMDIR"):
        (scan,), problems = find_volumes([given])
        assert (scan.name, problems) == ("S1", [])
    with pytest.raises(UserError, match="its subfolders hold some, name one"):
        read_volume(tmp_path / "disk")


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3, 1, 4, 2, 5], [2, 0, 5, 1, 4, 3]])
@pytest.mark.parametrize("kind", ["1.2.840.10008.5.1.4.1.1.4.1", ENHANCED_CT])
def test_frames_of_one_file_are_sorted_by_position(array, tmp_path, order, kind):
    """Scanners interleave: by their order in the file a brain would be shuffled."""
    path = write_enhanced(tmp_path / "s" / "e", array, np.array(order), kind=kind)
    volume = check(tmp_path / "s", array)
    (scan,), problems = find_volumes([path])
    assert not problems
    np.testing.assert_array_equal(scan.volume().array, volume.array)
    np.testing.assert_array_equal(read_volume(path).array, volume.array)


def test_stacks_echoes_and_times_in_one_file_are_parts(array, tmp_path, capsys):
    """Two stacks in one volume would jump; which was read must be said, and the other be had."""
    both = np.concatenate([array, array[::-1] // 2])
    for name, sequence, key, values, words in (
        ("stack", "FrameContentSequence", "StackID", ("1", "2"), "stack 1"),
        ("echo", "MREchoSequence", "EffectiveEchoTime", (4.9, 30.0), "echo time 4.9"),
        ("time", "FrameContentSequence", "TemporalPositionIndex", (1, 2), "time 1"),
        ("phase", "MRImageFrameTypeSequence", "ComplexImageComponent", ("MAGNITUDE", "PHASE"), "component MAGNITUDE"),
    ):
        shared = group(
            PixelMeasuresSequence=MEASURES, PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        )
        frames = [
            group(
                PlanePositionSequence={"ImagePositionPatient": [-10.0, 20.0, 5.0 + 4 * (n % 6)]},
                **{sequence: {key: values[n // 6]}},
            )
            for n in range(12)
        ]
        folder = tmp_path / name
        write_dicom(folder / "e", both, "1.2.840.10008.5.1.4.1.1.4.1", shared, frames)
        check(folder, array, flags=[f"2 parts: #1 {words} (6 slices) is read, left out: #2"])
        check(folder, array[::-1] // 2, flags=["is read, left out: #1"], part=2)
        np.testing.assert_array_equal(read_volume(f"{folder}#2").array, np.transpose(array[::-1] // 2, (2, 1, 0)))
        assert "left out: #1" in capsys.readouterr().out
        (scan,), _ = find_volumes([f"{folder}#2"])
        np.testing.assert_array_equal(scan.volume().array, np.transpose(array[::-1] // 2, (2, 1, 0)))
    _, refused = read_dicom_folder(tmp_path / "time", 3)
    assert "#3: it has 2 parts; name one from 1 to 2" in refused[0]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"AcquisitionNumber": (1, 2)}, "acquisition 1"),
        ({"TemporalPositionIdentifier": (1, 2)}, "time 1"),
        ({"ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "R"])}, "image type M"),
        ({"EchoTime": (10.0, 90.0)}, "echo time 10"),
        ({"DiffusionBValue": (0.0, 1000.0)}, "b-value 0"),
        ({"TriggerTime": (12.5, 400.0)}, "trigger time 12.5"),
    ],
)
def test_parts_of_single_frames(array, tmp_path, keys, words):
    """The same in old files, one file per slice: by instance number the two would be mixed."""
    for turn, pixels in enumerate((array, array // 3)):
        own = {key: values[turn] for key, values in keys.items()}
        write_slices(tmp_path / "s", pixels, each=lambda n, t=turn, o=own: {"name": f"{n}-{t}", **o})
    check(tmp_path / "s", array, flags=[f"2 parts: #1 {words} (6 slices) is read"])
    check(tmp_path / "s", array // 3, flags=["(6 slices) is read"], part=2)


def test_blocks_of_one_volume_stay_together(array, tmp_path):
    """A chest is acquired in two breath-holds that overlap by a slice: not two parts, but one volume."""
    write_slices(tmp_path / "s", array, each=lambda n: {"AcquisitionNumber": 1 + (n > 2)})
    check(tmp_path / "s", array)
    write_slices(tmp_path / "s", array[3:4], positions=[[-10.0, 20.0, 17.0]],
                 each=lambda n: {"AcquisitionNumber": 1, "InstanceNumber": 90, "name": "again"})  # fmt: skip
    check(tmp_path / "s", array, flags=["1 slices of the same position"])


def test_series_of_one_study_whose_numbers_run_on(array, tmp_path):
    """By instance number alone two series would become one of twice the height."""
    write_slices(tmp_path / "s", array)
    write_slices(tmp_path / "s", array // 2, each=lambda n: {"name": f"b{n}", "InstanceNumber": 7 + n},
                 SeriesInstanceUID="1.2.3.5")  # fmt: skip
    series, _ = read_dicom_folder(tmp_path / "s")
    assert [dicom_series.volume().array.shape[2] for dicom_series in series] == [6, 6]


def test_second_copies_of_files_are_left_out(array, tmp_path):
    """A folder copied into itself has every slice twice."""
    write_slices(tmp_path / "s", array)
    for path in list((tmp_path / "s").iterdir())[:3]:
        (tmp_path / "s" / f"copy of {path.name}").write_bytes(path.read_bytes())
    check(tmp_path / "s", array, flags=["3 second copies of a file left out"])


def test_a_volume_of_ultrasound_keeps_its_millimetres(array, tmp_path):
    """By GDCM it is 1 x 1 x 1 mm, and every volume in millilitres wrong."""
    shared = group(
        PixelMeasuresSequence=MEASURES, PlaneOrientationVolumeSequence={"ImageOrientationVolume": [1, 0, 0, 0, 1, 0]}
    )
    frames = [group(PlanePositionVolumeSequence={"ImagePositionVolume": [0.0, 0.0, 4.0 * n]}) for n in range(6)]
    write_dicom(tmp_path / "s" / "u", (array // 4).astype("uint8"), US_VOLUME, shared, frames, Modality="US")
    check(tmp_path / "s", array // 4, np.diag([-1.5, -2, 4, 1]), ["how that lies in the patient is not said"])


def test_many_frames_at_equal_steps(array, tmp_path):
    """Cone beams and SPECT say one position and a distance, which may be negative, or not what it seems."""
    place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2.0, 1.5]}
    at = {**place, "ImagePositionPatient": [-10, 20, 5]}
    write_dicom(tmp_path / "ct" / "a", array, CT, SpacingBetweenSlices=4.0, SliceThickness=4.0, **at)
    check(tmp_path / "ct", array)
    write_dicom(tmp_path / "thin" / "a", array, CT, SpacingBetweenSlices=4.0, SliceThickness=1.0, **at)
    check(tmp_path / "thin", array, flags=["frames are 4 mm apart (SpacingBetweenSlices), though 1 mm thick"])
    write_dicom(tmp_path / "thick" / "a", array, CT, SliceThickness=4.0, **at)
    check(tmp_path / "thick", array, flags=["their thickness, 4 mm, is taken"])
    detector = group(A={}).copy()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [-10, 20, 25], [1, 0, 0, 0, 1, 0]
    write_dicom(tmp_path / "nm" / "a", array[::-1], NM, SpacingBetweenSlices=-4.0, SliceThickness=4.0,
                PixelSpacing=[2.0, 1.5], DetectorInformationSequence=Sequence([detector]))  # fmt: skip
    check(tmp_path / "nm", array)
    write_dicom(tmp_path / "lost" / "a", array, CT, SpacingBetweenSlices=4.0, PixelSpacing=[2.0, 1.5])
    check(tmp_path / "lost", array, np.diag([-1.5, -2, 4, 1]), ["where it lies is not said"])
    write_dicom(tmp_path / "film" / "a", array, CT, **at)
    assert "a film perhaps and no volume" in read_dicom_folder(tmp_path / "film")[1][0]
    write_dicom(tmp_path / "bare" / "a", array, CT, SliceThickness=4.0)
    assert "PixelSpacing is missing" in read_dicom_folder(tmp_path / "bare")[1][0]


def test_a_number_of_frames_of_one_is_a_slice(array, tmp_path):
    """Some scanners write it into every slice."""
    write_slices(tmp_path / "s", array[:, None], kind=CT)
    check(tmp_path / "s", array)


def test_a_lying_distance_does_not_count_where_there_are_positions(array, tmp_path):
    """SpacingBetweenSlices is often copied from another series."""
    write_slices(tmp_path / "s", array, SpacingBetweenSlices=-11.0, SliceThickness=9.0)
    check(tmp_path / "s", array)


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
