"""The DICOM part of the table of formats."""

import numpy as np

from tests.app.dicom_files import (
    CT,
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

SLICES = np.arange(4 * 6 * 5, dtype="uint16").reshape(4, 6, 5)


def dicom(write, *arguments, then=None, **elements):
    """A function that writes a series into a folder of its own."""

    def make(folder):
        place = folder / "S1"
        write(place if write is write_slices else place / "a", *arguments, **elements)
        for path in sorted(place.iterdir())[: 2 if then else 0]:
            then(path)
        return place

    return make


def halves(key, first, second):
    """Two acquisitions of the same places in one series."""

    def make(folder):
        for turn, value in enumerate((first, second)):
            write_slices(folder / "S1", SLICES, each=lambda n, t=turn, v=value: {"name": f"{n}-{t}", key: v})
        return folder / "S1"

    return make


STACK = [[-10.0, 20.0, 5.0 + 4 * number] for number in range(4)]


FLAT = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2.0, 1.5]}


AT = {**FLAT, "ImagePositionPatient": [-10, 20, 5]}


PROBE = group(
    PixelMeasuresSequence=MEASURES, PlaneOrientationVolumeSequence={"ImageOrientationVolume": [1, 0, 0, 0, 1, 0]}
)


IN_PROBE = [group(PlanePositionVolumeSequence={"ImagePositionVolume": [0.0, 0.0, 4.0 * n]}) for n in range(4)]


SHUFFLED = np.array([2, 0, 3, 1])


def slopes(number):
    return {"RescaleSlope": 1.0 + number}


DICOM = [
    ("a series, one file per slice, in any order of names", dicom(write_slices, SLICES), "read"),
    ("some files without a preamble", dicom(write_slices, SLICES, then=without_preamble), "read"),
    (
        "enhanced MR or CT, frames in any order",
        dicom(write_enhanced, SLICES, SHUFFLED),
        "read",
    ),
    ("a volume of 3D ultrasound", dicom(write_dicom, SLICES, US_VOLUME, PROBE, IN_PROBE), "read"),
    (
        "many frames at equal distances",
        dicom(write_dicom, SLICES, CT, SpacingBetweenSlices=4.0, **AT),
        "read",
    ),
    ("the same, the distance negative", dicom(write_dicom, SLICES, NM, SpacingBetweenSlices=-4.0, **AT), "read"),
    ("the same, only a thickness", dicom(write_dicom, SLICES, CT, SliceThickness=4.0, **AT), "read"),
    ("many frames without a distance", dicom(write_dicom, SLICES, CT, **AT), "a film perhaps"),
    (
        "a slope for each slice (PET)",
        dicom(write_slices, SLICES, each=slopes, kind=PET),
        "read",
    ),
    ("two echoes, phases or times in one series", halves("EchoTime", 10.0, 90.0), "read"),
    ("a gap", dicom(write_slices, SLICES, [STACK[0], STACK[1], STACK[3], [-10.0, 20.0, 21.0]]), "read"),
    ("a gantry tilt", dicom(write_slices, SLICES, [[-10.0, 20 + n, 5.0 + 4 * n] for n in range(4)]), "read"),
    ("MONOCHROME1", dicom(write_slices, SLICES, PhotometricInterpretation="MONOCHROME1"), "read"),
    ("a palette or RGB", dicom(write_slices, SLICES, PhotometricInterpretation="PALETTE COLOR"), "a colour picture"),
    ("no PixelSpacing", dicom(write_slices, SLICES, PixelSpacing=None), "PixelSpacing is missing"),
    ("pixels of two sizes", dicom(write_slices, SLICES, each=lambda n: {"PixelSpacing": [2.0, 1.5 + n]}), "of 4 sizes"),
    ("a header that claims more than there is", dicom(write_dicom, SLICES, CT, NumberOfFrames=10**9, **AT), "claims"),
]  # fmt: skip
