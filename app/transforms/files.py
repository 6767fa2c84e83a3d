"""Transforms in files of any program, by one function each way."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from app.data.content import known_suffix
from app.data.dicom_file import is_dicom
from app.errors import UserError, naming
from app.strangers import regular_file
from app.transforms.dicom import read_dicom_transform
from app.transforms.fields import KINDS, WRITTEN, read_field, write_field
from app.transforms.itk import read_itk, write_itk
from app.transforms.matrices import read_fsl, read_lta, read_matrix, write_fsl, write_lta, write_matrix
from app.transforms.transform import Chain, Field, Linear

ITK_SUFFIXES = (".tfm", ".txt", ".mat", ".xfm", ".h5", ".hdf5")
LINEAR_SUFFIXES = (".tfm", ".txt", ".mat", ".lta")
REMEDY = (
    "give a transform of ITK (.tfm, .txt, .mat, .xfm, .h5), FreeSurfer (.lta, "
    ".mgz) or FSL (.mat), a plain matrix, or a "
    "displacement field (.nii.gz, .mha, .nrrd, .npz)"
)
M3Z = (
    "FreeSurfer's morph, which no library reads; 'mri_warp_convert --inm3z {} "
    "--outitk warp.nii.gz' writes one that is read"
)


def read_transform(path, kind=None, moving=None, fixed=None):
    """Read a transform of any program.

    Args:
        path: File.
        kind: What it is where the file does not say it: of fields as of `read_field`; "fsl" or "matrix" of text.
        moving: `Volume` that FSL's matrix begins at, or None.
        fixed: `Volume` that it ends at, or on whose grid B-splines are sampled; or None.

    Returns:
        `Chain`, fixed to moving.

    Raises:
        UserError: If the file is missing, damaged, of another kind, or needs `kind`, `moving` or `fixed`.
    """
    path = Path(path)
    regular_file(path, "transform")
    suffix = path.suffix.lower()
    if suffix == ".m3z":
        raise UserError(f"{path}: {M3Z.format(path.name)}")
    if known_suffix(path):
        if kind not in (None, *KINDS):
            raise UserError(f"{path}: a displacement field is of kind {', '.join(KINDS)}, not {kind}")
        return Chain((read_field(path, kind),))
    if suffix == ".dcm" or is_dicom(path):
        return Chain(tuple(read_dicom_transform(path)))
    if kind == "lta" or (kind is None and suffix == ".lta"):
        steps = [read_lta(path)]
    elif kind in ("fsl", "matrix"):
        steps = [_text_matrix(path, kind, moving, fixed)]
    elif kind in (None, "itk") and suffix in ITK_SUFFIXES:
        _see_that_it_says_what_it_is(path, kind)
        steps = read_itk(path, fixed and (fixed.array.shape, np.asarray(fixed.affine, float)))
    elif kind in ("ras", "voxel"):
        raise UserError(f"{path}: kind {kind} is of displacement fields ({', '.join(WRITTEN)}), which this is not")
    else:
        raise UserError(f"{path}: unknown format of a transform; {REMEDY}")
    with naming(path):
        for step in steps:
            _check(step)
    return Chain(tuple(steps))


def fitting_kind(path, kind):
    """A kind that was said of several files, of those that it can be the kind of.

    Args:
        path: File.
        kind: As of `read_transform`.

    Returns:
        The kind; None where it is one of fields and the file is none, or the reverse, or the file says what it is.
    """
    path = Path(path)
    says_itself = path.suffix.lower() in (".lta", ".h5", ".tfm", ".xfm")
    return None if says_itself or (known_suffix(path) is not None) != (kind in KINDS) else kind


def read_linear(path):
    """Read an affine transform of three dimensions.

    Args:
        path: `.tfm`, `.txt`, `.mat` or `.xfm` of ITK, or `.lta`: any linear transform, or several.

    Returns:
        `(4, 4)`, RAS millimetres of the fixed image to those of the moving one.

    Raises:
        UserError: As `read_transform`; or if it is not linear, or cannot be inverted.
    """
    regular_file(path, "affine transform, nor a kind of alignment")
    steps = read_transform(path).joined().steps
    if len(steps) != 1 or not isinstance(steps[0], Linear):
        raise UserError(f"{path}: not a linear transform; give one, or a kind of alignment")
    with naming(path):
        steps[0].inverse()
    return steps[0].matrix


def check_writable(path, chain):
    """See that a chain can be written under a name.

    Args:
        path: File.
        chain: `Chain`.

    Raises:
        UserError: If the format is unknown, or holds linear transforms alone and the chain is none.
    """
    path = Path(path)
    linear = all(isinstance(step, Linear) for step in chain.steps)
    if path.suffix.lower() in LINEAR_SUFFIXES and not linear:
        raise UserError(f"{path}: this format holds linear transforms only; name it .nii.gz, .h5, .mgz or .npz")
    if not (known_suffix(path) in WRITTEN or path.suffix.lower() in (*LINEAR_SUFFIXES, ".h5", ".dcm")):
        raise UserError(f"{path}: transforms are not written so; name it .nii.gz, .h5, .mgz, .npz, .dcm, .tfm or .lta")


def write_transform(path, chain, moving, reference, kind=None):
    """Write a chain as one file: of fields' formats the displacement on a grid, `.h5` and matrices as they are.

    Args:
        path: Its suffix decides: `.nii.gz`, `.mgz`, `.mha`, `.nrrd`, `.npz` (fields), `.h5` (ITK), `.tfm`, `.txt`,
            `.mat` (ITK, linear), `.lta`.
        chain: `Chain`, fixed to moving.
        moving: `Volume` that LTA and FSL name as source, or None.
        reference: `Volume` on whose grid a displacement is written.
        kind: "fsl" or "matrix" of a text of numbers; of fields as of `write_field`.

    Raises:
        UserError: As `check_writable`; if the chain has an inverse in it and the format holds none.
    """
    path = Path(path)
    check_writable(path, chain)
    if known_suffix(path):
        return write_field(path, field_on(chain, reference), kind)
    steps = chain.joined().steps
    if path.suffix.lower() == ".h5":
        steps = [step if isinstance(step, Linear | Field) else field_on(Chain((step,)), reference) for step in steps]
        return write_itk(path, steps)
    (linear,) = steps
    if path.suffix.lower() == ".lta":
        return write_lta(path, linear, moving, reference)
    if kind == "fsl":
        return write_fsl(path, linear, moving, reference)
    if kind == "matrix":
        return write_matrix(path, linear)
    return write_itk(path, [linear])


def field_on(chain, reference, tally=None):
    """A chain as a displacement on a grid.

    Args:
        chain: `Chain`.
        reference: `Volume`.
        tally: `Tally`, or None.

    Returns:
        `Field`.
    """
    affine, flat = np.asarray(reference.affine, float), reference.array.ndim == 2
    shape = (*reference.array.shape[:3], 1)[:3]
    vectors = np.empty((*shape, 3), "float32")

    def work(plane):
        points = plane_points(shape, affine, plane)
        vectors[plane] = (chain(points, tally) - points).reshape(*shape[1:], 3)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(work, range(shape[0])):
            pass
    return Field(vectors, affine, flat)


def plane_points(shape, affine, plane):
    """Where the voxels of one plane of a grid lie.

    Args:
        shape: `(i, j, k)` of the grid.
        affine: `(4, 4)`.
        plane: Index along the first axis.

    Returns:
        Points `(j * k, 3)`, RAS millimetres.
    """
    j, k = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    places = np.stack([np.full(j.size, plane), j.ravel(), k.ravel()], axis=1)
    return places @ affine[:3, :3].T + affine[:3, 3]


def _text_matrix(path, kind, moving, fixed):
    if kind == "matrix":
        return read_matrix(path)
    if moving is None or fixed is None:
        raise UserError(
            f"{path}: a matrix of FSL speaks of the voxels of its two images; name "
            "them as `moving` (-in) and `fixed` (-ref)"
        )
    return read_fsl(path, moving, fixed)


def _see_that_it_says_what_it_is(path, kind):
    """A text of numbers alone may be FSL's or a plain matrix; they differ."""
    with open(path, "rb") as file:
        head = file.read(64)
    text = path.suffix.lower() in (".txt", ".mat", ".tfm")
    numbers = text and all(word in b"+-.0123456789eE \t\r\n" for word in head)
    if numbers and head.strip() and kind is None:
        raise UserError(
            f"{path}: a text of numbers, which FSL, greedy and c3d mean differently; "
            "set its kind: fsl (with `moving` and "
            "`fixed`) or matrix (RAS millimetres)"
        )


def _check(step):
    if isinstance(step, Field) and not all(np.all(np.isfinite(plane)) for plane in step.vectors):
        raise UserError("holds NaN or infinite displacements; write the transform again")
