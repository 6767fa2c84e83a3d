"""DICOM of every kind that scanners and archives write: right, or refused in a line; never a part without a word."""

import numpy as np
import pytest
from pydicom.sequence import Sequence

from app.data.dicom import read_dicom_folder
from app.data.inputs import find_volumes
from app.data.read import read_volume
from app.errors import UserError
from tests.app.dicom_cases import check
from tests.app.dicom_files import (
    CT,
    ENHANCED_CT,
    MEASURES,
    NM,
    US_VOLUME,
    group,
    without_preamble,
    write_dicom,
    write_enhanced,
    write_slices,
)


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
