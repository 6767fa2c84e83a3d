"""Headers that lie: offsets, extensions, places, arrays, fields."""

import io
import zipfile

import nibabel
import numpy as np
import pytest

from app.data.read import read_volume
from tests.app.hostile_cases import TINY, npy, put, refused, zipped
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (0, None),
        (352, None),
        (1, "before byte 352"),
        (348, "before byte 352"),
        (-500, "before byte 352"),
        (352.5, "before byte 352"),
        (np.nan, "vox_offset is nan"),
        (np.inf, "vox_offset is inf"),
        (1e9, "too short"),
        (368, "too short"),
    ],
)
def test_voxels_do_not_begin_within_the_header(folder, offset, words):
    """Read 352 bytes early, the image is shifted and begins with its own header."""
    path = put(folder, "a.nii", nifti(vox_offset=offset))
    if words:
        refused(path, words)
    else:
        np.testing.assert_array_equal(read_volume(path).array, ARRAY)


@pytest.mark.parametrize("size", [0, -16, 8, 24, 2**31 - 1, 64])
def test_extensions_that_lie_are_left_out(folder, capsys, size):
    """Their size leads out of the file, or nowhere: the voxels are where they were."""
    content = bytearray(nifti(start=400))
    content[348] = 1
    content[352:356] = np.int32(size).tobytes()
    np.testing.assert_array_equal(read_volume(put(folder, "a.nii", bytes(content))).array, ARRAY)
    assert "extension" in capsys.readouterr().out


def test_sound_extensions_are_kept(folder):
    """Some hold what a scanner said."""
    image = nibabel.Nifti1Image(ARRAY, AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"seven teslas"))
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(image, folder / name)
        volume = read_volume(folder / name)
        np.testing.assert_array_equal(volume.array, ARRAY)
        assert volume.header.extensions[0].get_content().rstrip(b"\0") == b"seven teslas"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e30", "0", "1e-30"])
@pytest.mark.parametrize("name", ["a.nii", "a.mgh", "a.mha", "a.nrrd", "a.npz"])
def test_places_that_are_none(folder, name, value):
    """An affine of 1e30 passes every check by halves, and fails when half of the results are written."""
    number = float(value)
    affine = AFFINE.copy()
    affine[1, 0] = number
    content = {
        "a.nii": lambda: nifti(srow_y=affine[1], sform_code=2),
        "a.mgh": lambda: mgh(delta=[number, 2, 3]),
        "a.mha": lambda: meta(ElementSpacing=f"{value} 2 3"),
        "a.nrrd": lambda: nrrd(space_directions=f"(0,{value},0) (2,0,0) (0,0,3)"),
        "a.npz": lambda: npz(vol=ARRAY, affine=affine),
    }[name]()
    refused(put(folder, name, content), "does not say where its voxels are")


class Code:
    """What a pickle could run."""

    def __reduce__(self):
        return open, (Code.path, "w")


@pytest.mark.parametrize("place", ["vol", "affine"])
@pytest.mark.parametrize("kind", ["object", "record", "text", "bytes", "time"])
def test_npz_holds_numbers_only(folder, place, kind):
    """A pickle runs whatever its author likes."""
    Code.path = str(folder / "CANARY")
    array = {
        "object": np.array([[[Code()]]], dtype=object),
        "record": np.zeros((3, 4, 5), [("a", "O" if place == "vol" else "i4")]),
        "text": ARRAY.astype(str),
        "bytes": ARRAY.astype("S3"),
        "time": ARRAY.astype("datetime64[s]"),
    }[kind]
    file = io.BytesIO()
    np.savez(file, **{"vol": ARRAY, place: array})
    refused(put(folder, "a.npz", file.getvalue()))
    assert not (folder / "CANARY").exists()


def test_npz_headers_that_lie(folder):
    """An array's own header is text of a stranger's."""
    for content in (
        zipped(content=b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 60000),
        zipped(content=b"\x93NUMPY\x09\x00" + TINY),
        zipped(content=npy((3, 4, 5), "|O", TINY)),
        zipped(content=npy((3, 4, 5), "<i2", TINY[:-4])),
        zipped(content=b""),
        zipped(name="../vol.npy", content=npy((3, 4, 5))),
        zipped(content=npy((3, 4, 5)), method=zipfile.ZIP_LZMA),
        zipped(content=npy((3, 4, 5)))[:-30],
    ):
        refused(put(folder, "a.npz", content))
    assert read_volume(put(folder, "b.npz", zipped(content=npy((3, 4, 5))))).array.shape == (3, 4, 5)


TEXTS = {
    "no number": {"DimSize": "3 4 five"},
    "five thousand digits": {"DimSize": "3 4 " + "9" * 5000},
    "too few numbers": {"DimSize": "3 4"},
    "too many axes": {"NDims": 300},
    "unknown type": {"ElementType": "MET_STRING"},
    "text": {"BinaryData": "False"},
    "header of another size": {"HeaderSize": -7, "ElementDataFile": "a.raw"},
    "header beyond the end": {"HeaderSize": 10**9, "ElementDataFile": "a.raw"},
    "several values": {"ElementNumberOfChannels": 3},
    "negative values": {"ElementNumberOfChannels": "-x"},
    "matrix of four": {"TransformMatrix": "1 0 0 1"},
    "matrix of words": {"TransformMatrix": "a b c d e f g h i"},
    "no data": {"ElementDataFile": None},
    "scaled": {"ElementToIntensityFunctionSlope": 2},
    "a scene": {"ObjectType": "Scene"},
}


@pytest.mark.parametrize("kind", TEXTS)
def test_headers_of_metaimages(folder, kind):
    """Every field may be anything."""
    (folder / "a.raw").write_bytes(ARRAY.tobytes("F"))
    refused(put(folder, "a.mhd", meta(**TEXTS[kind])))


FIELDS = {
    "no number": {"sizes": "3 4 five"},
    "five thousand digits": {"sizes": "3 4 " + "9" * 5000},
    "too few numbers": {"sizes": "3 4"},
    "too many axes": {"dimension": 300},
    "unknown type": {"type": "block"},
    "ascii": {"encoding": "ascii"},
    "bzip2": {"encoding": "bzip2"},
    "lines beyond the end": {"line_skip": 999_999_999},
    "lines before the start": {"line_skip": -3},
    "bytes beyond the end": {"byte_skip": 10**15},
    "bytes before the start": {"byte_skip": -2},
    "packed bytes from the end": {"byte_skip": -1, "encoding": "gzip"},
    "no byte order": {"endian": None},
    "odd byte order": {"endian": "middle"},
    "directions of words": {"space_directions": "(a,b,c) (0,1,0) (0,0,1)"},
    "directions unfinished": {"space_directions": "(1,0,0) (0,1,0"},
    "two directions": {"space_directions": "(1,0,0) (0,1,0)"},
    "directions in the plane": {"space_directions": "(1,0) (0,1) (1,1)"},
    "kinds": {"kinds": "domain domain"},
    "origin": {"space_origin": "(0,0)"},
}


@pytest.mark.parametrize("kind", FIELDS)
def test_headers_of_nrrd(folder, kind):
    """Every field may be anything."""
    refused(put(folder, "a.nrrd", nrrd(**FIELDS[kind])))


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_a_field_that_stands_twice(folder, name):
    """Two programs take different ones: what was checked is not what is read."""
    content = meta() if name == "a.mha" else nrrd()
    line = b"DimSize = 3 4 5\n" if name == "a.mha" else b"sizes: 3 4 5\n"
    assert line in content
    refused(put(folder, name, content.replace(line, line + line)), "twice")
    refused(put(folder, name, content.replace(line, line.strip() + b" nothing more" * 100_000 + b"\n")))
    refused(put(folder, name, content.replace(line, b"no field at all\n")))
