"""DICOM of sixteen kinds, read by us (pydicom), by highdicom and by dcm2niix: which voxels lie where they belong?

    python -m benchmarks.dicom_readers

The files are those of the tests (`tests/app/dicom_files.py`): six slices of random numbers at known millimetres.
highdicom is installed into `.peers/highdicom`; it is given all files of the folder that pydicom opens, and its own
functions for a series and for a file of many frames. "right": every voxel's value is found at its millimetres;
"refused": an error, and no volume; "wrong": another volume, or a part of it, without an error.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from dcm2niix import bin as dcm2niix
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from app.data.dicom import read_dicom_folder
from benchmarks.pages import write_tables
from benchmarks.results_file import ResultsFile
from tests.app.dicom_files import (
    AFFINE,
    CT,
    ENHANCED_CT,
    MEASURES,
    PET,
    US_VOLUME,
    group,
    without_preamble,
    write_dicom,
    write_enhanced,
    write_slices,
)

PEERS = Path(__file__).resolve().parents[1] / ".peers" / "highdicom"
VERSION = "0.28.2"
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # highdicom's millimetres are LPS, ours RAS
SHUFFLED = np.array([0, 3, 1, 4, 2, 5])


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if not PEERS.is_dir():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PEERS)]
        subprocess.run([*install, f"highdicom=={VERSION}"], check=True)
    sys.path.append(str(PEERS))
    results = ResultsFile("dicom_readers", {"highdicom": VERSION, "pydicom": pydicom.__version__})
    for name, (write, expected, affine) in kinds().items():
        results.measure(name, lambda w=write, e=expected, a=affine: row(w, e, a))
    write_tables("dicom_readers", tables(results.content))
    print(tables(results.content)["readers"])


def kinds():
    """What is read.

    Returns:
        Dict from name to a function `(folder)` that writes it, the right `(slices, rows, columns)` and affine,
        which is None where the file does not say how it lies in the patient.
    """
    array = np.random.default_rng(0).integers(1, 900, (6, 10, 12)).astype("uint16")
    slopes = 0.5 + np.arange(6)
    signed = array.astype("int16") - 1024
    signed[:, :2] = -2000

    def scaled(number):
        return {"PixelValueTransformationSequence": {"RescaleSlope": slopes[number], "RescaleIntercept": 1.0}}

    def half_without_preamble(folder):
        write_slices(folder, array)
        for path in sorted(folder.iterdir())[::2]:
            without_preamble(path)

    def copies(folder):
        write_slices(folder, array)
        for path in list(folder.iterdir())[:3]:
            (folder / f"copy of {path.name}").write_bytes(path.read_bytes())

    def lost(folder):
        write_slices(folder, array)
        sorted(folder.iterdir())[3].unlink()

    def ultrasound(folder):
        orientation = {"ImageOrientationVolume": [1, 0, 0, 0, 1, 0]}
        shared = group(PixelMeasuresSequence=MEASURES, PlaneOrientationVolumeSequence=orientation)
        frames = [group(PlanePositionVolumeSequence={"ImagePositionVolume": [0.0, 0.0, 4.0 * n]}) for n in range(6)]
        write_dicom(folder / "u", (array // 4).astype("uint8"), US_VOLUME, shared, frames, Modality="US")

    def equal_steps(folder):
        place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2.0, 1.5]}
        write_dicom(folder / "a", array, CT, ImagePositionPatient=[-10, 20, 5], SpacingBetweenSlices=4.0,
                    SliceThickness=1.0, **place)  # fmt: skip

    def named(function, values=array, affine=AFFINE):
        return function, values, affine

    return {
        "one file per slice": named(lambda f: write_slices(f, array)),
        "half of the files without a preamble": named(half_without_preamble),
        "instance numbers that follow nothing": named(
            lambda f: write_slices(f, array, each=lambda n: {"InstanceNumber": int(SHUFFLED[n])})
        ),
        "SpacingBetweenSlices that lies": named(
            lambda f: write_slices(f, array, SpacingBetweenSlices=-11.0, SliceThickness=9.0)
        ),
        "NumberOfFrames 1 in each file": named(lambda f: write_slices(f, array[:, None], kind=CT)),
        "a slope for each slice (PET)": named(
            lambda f: write_slices(
                f, array, each=lambda n: {"RescaleSlope": slopes[n], "RescaleIntercept": -3.0}, kind=PET, Modality="PT"
            ),
            array * slopes[:, None, None] - 3,
        ),
        "signed values with padding": named(
            lambda f: write_slices(f, signed, RescaleSlope=1.0, RescaleIntercept=0.0, PixelPaddingValue=-2000), signed
        ),
        "an acquisition in two blocks": named(
            lambda f: write_slices(f, array, each=lambda n: {"AcquisitionNumber": 1 + (n > 2)})
        ),
        "files copied into their own folder": named(copies),
        "a slice is missing": named(lost, None),
        "enhanced MR": named(lambda f: write_enhanced(f / "a", array)),
        "enhanced MR, frames in any order": named(lambda f: write_enhanced(f / "a", array, SHUFFLED)),
        "enhanced CT, frames in any order": named(lambda f: write_enhanced(f / "a", array, SHUFFLED, kind=ENHANCED_CT)),
        "enhanced MR, a slope for each frame": named(
            lambda f: write_enhanced(f / "a", array, SHUFFLED, scaled), array * slopes[:, None, None] + 1
        ),
        "a volume of ultrasound": named(ultrasound, array // 4, None),
        "many frames at equal steps": named(equal_steps),
    }


def row(write, expected, affine):
    """What each reader makes of a kind.

    Args:
        write, expected, affine: Of `kinds`; `expected` None where only a refusal, or a word, is right.

    Returns:
        Dict from reader to "right", "refused", or what is wrong.
    """
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name) / "s"
        folder.mkdir()
        write(folder)
        return {reader.__name__: judged(reader, folder, expected, affine) for reader in (ours, highdicom, niix)}


def judged(reader, folder, expected, affine):
    """A reader's answer, judged.

    Args:
        reader: Function `(folder) -> volumes, whether something was said`; a volume is an array and its affine.
        folder: Of the files.
        expected, affine: Of `kinds`.

    Returns:
        String.
    """
    try:
        volumes, said = reader(folder)
    except Exception as error:  # each library has its own
        return f"{'right: ' if expected is None else ''}refused ({type(error).__name__})"
    if len(volumes) != 1:
        return f"wrong: {len(volumes)} volumes"
    array, place = volumes[0]
    if expected is None:
        return "right: read, and said" if said else f"wrong: a volume of {array.shape[-1]} slices without a word"
    wanted = np.transpose(expected, (2, 1, 0))
    if affine is None:
        sizes = np.linalg.norm(place[:3, :3], axis=0)
        flips = [wanted[::a, ::b, ::c] for a in (1, -1) for b in (1, -1) for c in (1, -1)]
        same = any(array.shape == flip.shape and np.allclose(array, flip) for flip in flips)
        return "right" if same and np.allclose(sizes, [1.5, 2.0, 4.0]) else "wrong: values or millimetres"
    if sorted(array.shape) != sorted(wanted.shape):
        return f"wrong: {' x '.join(map(str, array.shape))} voxels"
    voxels = np.stack(np.meshgrid(*map(np.arange, wanted.shape), indexing="ij"), -1).reshape(-1, 3)
    there = np.c_[voxels, np.ones(len(voxels))] @ (np.linalg.inv(place) @ affine).T
    nearest = np.rint(there[:, :3]).astype(int)
    inside = np.all((nearest >= 0) & (nearest < array.shape), axis=1) & (np.abs(there[:, :3] - nearest).max(1) < 0.02)
    values = np.where(inside, array[tuple(np.clip(nearest, 0, np.array(array.shape) - 1).T)], np.nan)
    same = np.mean(np.isclose(values, wanted.reshape(-1), rtol=1e-3))
    return "right" if same == 1 else f"wrong: {100 * same:.0f} % of the voxels in place"


def ours(folder):
    """See `judged`."""
    series, refused = read_dicom_folder(folder)
    if refused:
        raise ValueError(refused[0])
    volumes = [dicom_series.volume() for dicom_series in series]
    return [(volume.array, volume.affine) for volume in volumes], any(dicom_series.flags for dicom_series in series)


def highdicom(folder):
    """See `judged`."""
    import highdicom as hd

    files = [pydicom.dcmread(path, force=True) for path in sorted(folder.iterdir())]
    for file in files:  # pydicom knows by then how those without file meta information are encoded
        implicit, _ = file.original_encoding
        if "TransferSyntaxUID" not in file.file_meta:
            file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    alone = len(files) == 1
    volume = hd.Image.from_dataset(files[0]).get_volume() if alone else hd.get_volume_from_series(files)
    return [(volume.array, FLIP @ volume.affine)], False


def niix(folder):
    """See `judged`."""
    out = folder.parent / "out"
    out.mkdir()
    done = subprocess.run(
        [dcm2niix, "-o", str(out), "-f", "%s_%p", "-b", "n", str(folder)], capture_output=True, text=True
    )
    images = [nibabel.load(path) for path in sorted(out.glob("*.nii"))]
    if done.returncode or not images:
        raise ValueError(done.stdout[-200:])
    return [(image.get_fdata(), image.affine) for image in images], "Warning" in done.stdout


def tables(content):
    """The docs' table from the rows.

    Args:
        content: Of the results file.

    Returns:
        Dict from place to Markdown.
    """
    readers = {
        "ours": "ours (pydicom)",
        "highdicom": f"highdicom {content['settings']['highdicom']}",
        "niix": "dcm2niix",
    }
    lines = [f"| DICOM | {' | '.join(readers.values())} |", "|---|" + "---|" * len(readers)]
    for name, row in content["rows"].items():
        lines.append(f"| {name} | {' | '.join(row[reader] for reader in readers)} |")
    counts = [sum(row[reader].startswith("right") for row in content["rows"].values()) for reader in readers]
    lines.append(f"| right | {' | '.join(map(str, counts))} |")
    return {"readers": "\n".join(lines)}


if __name__ == "__main__":
    main()
