"""What is read and what is refused, format by format: the table in docs/reference/formats.md.

    python -m tests.app.format_cases    # writes the table anew

Each case is what the file is like, a function `(folder) -> path` that writes it, and "read" or words of the refusal.
"""

import contextlib
import io
import re
import tempfile
import zlib
from pathlib import Path

import nibabel
import numpy as np

from app.data.read import read_volume
from app.data.sound import check_three_axes
from app.errors import UserError
from app.files import write_text
from app.notes import forget
from tests.app.format_dicom import DICOM
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd, packed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "formats.md"
MARKED = re.compile(r"(<!-- written by tests/app/format_cases.py -->\n)(.*?)(\n?<!-- end -->)", re.DOTALL)
VOXELS = ARRAY.tobytes("F")
SOME_NAN = np.where(ARRAY > 190, np.nan, ARRAY).astype("float32")
DOMAINS = "domain domain domain"
LAYERS = {
    "dimension": 4, "sizes": "3 3 4 5", "space_directions": "none (0,1.5,0) (2,0,0) (0,0,3)",
}  # fmt: skip


def file(name, content, **others):
    """A function that writes a file, and perhaps others beside it."""

    def write(folder):
        for other, its in {name: content, **others}.items():
            (folder / other.replace("__", ".")).write_bytes(its)
        return folder / name

    return write


def pair(name, magic=b"ni1"):
    """A header and its .img."""
    return file(name, nifti(start=0, magic=magic)[:348], a__img=VOXELS)


def forms(q, s):
    """A NIfTI file whose sform lies 9 mm off its qform, of these codes."""
    shifted = AFFINE.copy()
    shifted[2, 3] += 9
    rows = {f"srow_{axis}": row for axis, row in zip("xyz", shifted, strict=False)}
    return file("a.nii.gz", packed(nifti(**rows, qform_code=q, sform_code=s)))


NIFTI = [
    ("`.nii`, `.nii.gz`, NIfTI-1", file("a.nii.gz", packed(nifti())), "read"),
    ("NIfTI-2", file("a.nii", nifti(start=544, kind=nibabel.Nifti2Header)), "read"),
    ("big-endian", file("a.nii", nifti(order=">")), "read"),
    ("a pair, `.hdr` and `.img`", pair("a.hdr"), "read"),
    ("a pair's header called `.nii`", pair("a.nii"), "read"),
    ("a pair without its `.img`", file("a.hdr", nifti(start=0, magic=b"ni1")[:348]), "beside the header"),
    ("compressed, called `.nii`", file("a.nii", packed(nifti())), "read"),
    ("not compressed, called `.nii.gz`", file("a.nii.gz", nifti()), "read"),
    ("name in capitals", file("A.NII.GZ", packed(nifti())), "read"),
    ("sform and qform differ, codes 1 and 2", forms(1, 2), "read"),
    ("neither sform nor qform", file("a.nii", nifti(sform_code=0, qform_code=0)), "read"),
    ("lengths in microns", file("a.nii", nifti(xyzt_units=3)), "read"),
    ("affine of 1e30, infinite, NaN or flat", file("a.nii", nifti(srow_x=[1e30, 0, 0, 0])), "where its voxels are"),
    ("`uint64`, `int64`", file("a.nii", nifti(ARRAY.astype("uint64"))), "read"),
    ("`scl_slope` 0 or NaN", file("a.nii", nifti(scl_slope=np.nan)), "read"),
    ("`scl_slope` infinite", file("a.nii", nifti(scl_slope=np.inf)), "correct the header"),
    ("NaN", file("a.nii", nifti(SOME_NAN)), "set nan: zero"),
    ("complex", file("a.nii", nifti(datatype=32, bitpix=64)), "save their magnitude"),
    ("`float128`", file("a.nii", nifti(datatype=1536, bitpix=128)), "float64"),
    ("colour", file("a.nii", nifti(datatype=128, bitpix=24)), "grey"),
    ("a time series", file("a.nii", nifti(np.stack([ARRAY, ARRAY], -1))), "4-dimensional"),
    ("a displacement", file("a.nii", nifti(np.zeros((3, 4, 5, 1, 3), "float32"))), "3 values a voxel"),
    ("`vox_offset` 0", file("a.nii", nifti(vox_offset=0)), "read"),
    ("`vox_offset` within the header", file("a.nii", nifti(vox_offset=348)), "before byte 352"),
    ("shorter than its header claims", file("a.nii", nifti()[:-2]), "too short"),
    ("longer than its header claims", file("a.nii", nifti() + b"more"), "read"),
    ("sizes negative or 0", file("a.nii", nifti(dim=[3, -3, 4, 5, 1, 1, 1, 1])), "claims"),
    ("an extension of a wrong size", file("a.nii", nifti(start=400)[:348] + b"\1" + nifti(start=400)[349:]), "read"),
    ("a zip archive called `.nii.gz`", file("a.nii.gz", b"PK\x03\x04" + bytes(60)), "unpack it"),
    ("a web page called `.nii.gz`", file("a.nii.gz", b"<!DOCTYPE html>"), "fetch the file again"),
    ("DICOM called `.nii.gz`", file("a.nii.gz", bytes(128) + b"DICM"), "give its folder"),
    ("a pointer of git-lfs", file("a.nii.gz", b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    ("a pointer of git-annex", file("a.nii.gz", b"/annex/objects/SHA256E-s1--a.nii.gz\n"), "datalad get"),
    ("compressed twice", file("a.nii.gz", packed(packed(nifti()))), "unpack it once"),
    ("an empty file", file("a.nii.gz", b""), "empty"),
    ("a named pipe or device", lambda folder: _linked(folder / "a.nii"), "regular file"),
]  # fmt: skip
MGZ = [
    ("`.mgz`, `.mgh`", file("a.mgz", packed(mgh())), "read"),
    ("not compressed, called `.mgz`", file("a.mgz", mgh()), "read"),
    ("without a place (`goodRASFlag` 0)", file("a.mgz", packed(mgh(goodRASFlag=0))), "read"),
    ("several frames", file("a.mgz", packed(mgh(np.stack([ARRAY, ARRAY], -1)))), "4-dimensional"),
    ("an unknown type", file("a.mgz", packed(mgh(type=7))), "unknown type"),
    ("shorter than its header claims", file("a.mgh", mgh()[:300]), "too short"),
]
NRRD = [
    ("`.nrrd`, raw or gzip", file("a.nrrd", nrrd(data=packed(VOXELS), encoding="gzip")), "read"),
    ("`.nhdr` and a data file beside it", file("a.nhdr", nrrd(data_file="a.raw"), a__raw=VOXELS), "read"),
    ("RAS, LAS or LPS", file("a.nrrd", nrrd(space="RAS")), "read"),
    ("another space", file("a.nrrd", nrrd(space="scanner-xyz")), "read"),
    ("without directions", file("a.nrrd", nrrd(space=None, space_directions=None, space_origin=None)), "read"),
    ("`space units` other than mm", file("a.nrrd", nrrd(space_units='"um" "um" "um"')), "read"),
    ("one layer (3D Slicer)", file("a.nrrd", nrrd(**{**LAYERS, "sizes": "1 3 4 5"}, kinds=f"list {DOMAINS}")), "read"),
    ("several layers", file("a.seg.nrrd", nrrd(**LAYERS, kinds=f"list {DOMAINS}")), "save one of them"),
    ("vectors, colour", file("a.nrrd", nrrd(**LAYERS, kinds=f"vector {DOMAINS}")), "save one of them"),
    ("as text, hex or bzip2", file("a.nrrd", nrrd(encoding="ascii")), "save it as raw or gzip"),
    ("a data file elsewhere", file("a.nhdr", nrrd(data_file="../b.raw")), "beside the header"),
    ("several data files", file("a.nhdr", nrrd(data_file="LIST")), "one file"),
    ("no byte order", file("a.nrrd", nrrd(endian=None)), "endian"),
    ("compressed as a whole", file("a.nrrd", packed(nrrd())), "gunzip"),
]  # fmt: skip
MHA = [
    ("`.mha`", file("a.mha", meta()), "read"),
    ("compressed", file("a.mha", meta(data=zlib.compress(VOXELS), CompressedData="True")), "read"),
    ("`.mhd` and a data file beside it", file("a.mhd", meta(ElementDataFile="a.raw"), a__raw=VOXELS), "read"),
    ("`HeaderSize` -1", file("a.mhd", meta(ElementDataFile="a.raw", HeaderSize=-1), a__raw=b"xyz" + VOXELS), "read"),
    ("a data file elsewhere", file("a.mhd", meta(ElementDataFile="/etc/passwd")), "beside the header"),
    ("several data files, patterns", file("a.mhd", meta(ElementDataFile="%d.raw 1 5 1")), "one file"),
    ("vectors, colour", file("a.mha", meta(ElementNumberOfChannels=3)), "values a voxel"),
    ("as text", file("a.mha", meta(BinaryData="False")), "binary"),
    ("scaled (`ElementToIntensityFunctionSlope`)", file("a.mha", meta(ElementToIntensityFunctionSlope=2)), "unscaled"),
    ("`DistanceUnits` other than mm", file("a.mha", meta(DistanceUnits="um")), "read"),
    ("compressed as a whole", file("a.mha", packed(meta())), "gunzip"),
]  # fmt: skip
ANALYZE = [
    ("`.hdr` and `.img` of Analyze 7.5", pair("a.hdr", b""), "save it as NIfTI"),
    ("the `.img` given", file("a.img", VOXELS), "give the .hdr"),
]  # fmt: skip
NPZ = [
    ("arrays `vol` and `affine`", file("a.npz", npz(vol=ARRAY, affine=AFFINE)), "read"),
    ("booleans, 16-bit and long floats", file("a.npz", npz(vol=ARRAY > 9, affine=AFFINE)), "read"),
    ("no `vol`", file("a.npz", npz(image=ARRAY)), "rename it"),
    ("complex", file("a.npz", npz(vol=ARRAY.astype("complex64"))), "magnitude"),
    ("Python objects (pickles)", file("a.npz", npz(vol=np.array([None]))), "save numbers"),
]


CASES = {"NIfTI": NIFTI, "Analyze": ANALYZE, "MGZ": MGZ, "NRRD": NRRD, "MHA": MHA, "npz": NPZ, "DICOM": DICOM}


def answer(write, folder):
    """What the reader says of a file.

    Args:
        write: Of a case.
        folder: An empty folder.

    Returns:
        "read", "read; " and what is said of it, or "refused: " and why; the file's own name left out.
    """
    path = write(folder)
    forget()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            check_three_axes(read_volume(path))
        wrong = []
    except UserError as error:
        wrong = error.problems
    said = wrong or [line.removeprefix("note: ") for line in printed.getvalue().splitlines()]
    words = "; ".join(said).replace(f"{path}: ", "").replace(f"{folder}/", "")
    return ("refused: " if wrong else "read; " if words else "read") + words


def table():
    """The table in Markdown, every row as the reader answers now."""
    rows = ["| format | file | answer |", "|---|---|---|"]
    for name, cases in CASES.items():
        for kind, write, _ in cases:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(f"| {name} | {kind} | {answer(write, Path(folder))} |")
    return "\n".join(rows)


def _linked(path):
    path.symlink_to("/dev/zero")
    return path


if __name__ == "__main__":
    now = table()
    write_text(PAGE, MARKED.sub(lambda match: match[1] + now + "\n<!-- end -->", PAGE.read_text(encoding="utf-8")))
