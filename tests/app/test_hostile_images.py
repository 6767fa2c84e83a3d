"""Images from strangers: headers that lie, paths that lead elsewhere, bombs. Each kind with its neighbours."""

import contextlib
import io
import os
import tracemalloc
import zipfile

import nibabel
import numpy as np
import pytest

from app.data.read import read_volume
from app.errors import UserError
from app.notes import forget
from app.systems.template.points import read_points
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd, packed, zeros_packed

SIZE = ARRAY.size * ARRAY.itemsize
GIANT = 40_000  # cubed, far beyond any memory and any index
TINY = bytes(SIZE)


@pytest.fixture(autouse=True)
def _new_command():
    forget()


@pytest.fixture
def canary(tmp_path):
    """A file elsewhere that nothing may read: its voxels would be 120 at every place."""
    path = tmp_path / "secret" / "canary.raw"
    path.parent.mkdir()
    path.write_bytes(b"x\0" * ARRAY.size)
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns))  # of access and change: read, the first becomes newer
    yield path
    assert os.stat(path).st_atime_ns == 1, "the canary was read"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


def refused(path, *words):
    with pytest.raises(UserError) as error:
        read_volume(path)
    (line,) = error.value.problems
    assert "\n" not in line
    assert len(line) - len(str(path)) < 300
    assert path.name in line
    for word in words:
        assert word in line, line
    assert "this is a fault" not in line
    return line


def put(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


ELSEWHERE = {
    "absolute": lambda canary: str(canary),
    "climbing": lambda canary: "../secret/canary.raw",
    "through a folder": lambda canary: "./../secret/canary.raw",
    "doubled slashes": lambda canary: f"//{canary}",
    "a list": lambda canary: f"LIST\n{canary}",
    "a list of dimension": lambda canary: f"LIST 2\n{canary}",
    "a pattern": lambda canary: f"{canary.parent}/canary.ra%c 119 119 1",
    "a pattern of strings": lambda canary: "%s%s%s%n 1 5 1",
    "a device": lambda canary: "/dev/zero",
    "of a process": lambda canary: "/proc/self/mem",
    "nothing": lambda canary: ".",
    "itself": lambda canary: None,
}


@pytest.mark.parametrize("kind", ELSEWHERE)
@pytest.mark.parametrize("suffix", [".mhd", ".nhdr", ".mha", ".nrrd"])
def test_voxels_lie_beside_their_header(folder, canary, suffix, kind):
    """A header that names any file of the machine turns it into an image, and some kill ITK."""
    name = ELSEWHERE[kind](canary) or f"a{suffix}"
    content = nrrd(data_file=name) if suffix in (".nhdr", ".nrrd") else meta(ElementDataFile=name)
    refused(put(folder, f"a{suffix}", content))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii", "text", "txt", "hex", "bzip2"])
def test_no_encoding_reads_a_device(folder, encoding):
    """As text, /dev/zero never ends and ITK dies of it."""
    refused(put(folder, "a.nhdr", nrrd(data_file="/dev/zero", encoding=encoding)))


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr", ".hdr"])
def test_links_beside_the_header_lead_nowhere(folder, canary, suffix):
    """An archive may hold a link: its target is elsewhere all the same."""
    image = folder / ("a.img" if suffix == ".hdr" else "a.raw")
    image.symlink_to(canary)
    content = {
        ".mhd": meta(ElementDataFile="a.raw"),
        ".nhdr": nrrd(data_file="a.raw"),
        ".hdr": nifti(start=0, magic=b"ni1")[:348],
    }[suffix]
    refused(put(folder, f"a{suffix}", content), "link to elsewhere")
    image.unlink()
    os.mkfifo(image)
    refused(folder / f"a{suffix}", "regular file")
    image.unlink()
    image.mkdir()
    refused(folder / f"a{suffix}", "regular file")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz", ".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".npz"])
def test_pipes_and_devices_are_never_opened(folder, suffix):
    """A pipe waits for ever for somebody to write; a device has no end."""
    os.mkfifo(folder / f"pipe{suffix}")
    (folder / f"device{suffix}").symlink_to("/dev/zero")
    (folder / f"linked{suffix}").symlink_to(f"pipe{suffix}")
    (folder / f"loop{suffix}").symlink_to(f"loop{suffix}")
    for name in ("pipe", "device", "linked"):
        refused(folder / f"{name}{suffix}", "give a regular file")
    refused(folder / f"loop{suffix}", "no such image file")
    refused(folder / f"{'a' * 300}{suffix}", "no such image file")


def test_points_are_never_read_from_a_pipe(folder):
    """They wait as images do."""
    for name in ("a.fcsv", "a.mrk.json"):
        os.mkfifo(folder / name)
        with pytest.raises(UserError, match="regular file"):
            read_points(folder / name, (1,))


def npy(shape, dtype="<i2", body=TINY, order=False):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": order, "shape": shape})
    return file.getvalue() + body


def zipped(name="vol.npy", content=b"", method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def claims(shape):
    """The same lie in every format: name of a file and its content."""
    listed = " ".join(map(str, shape))
    sizes = list(shape) + [1] * (4 - len(shape))
    large = nibabel.Nifti2Header
    return {
        "a.nii": nifti(kind=large, start=544, dim=[len(shape), *shape, *[1] * (7 - len(shape))]),
        "a.nii.gz": packed(nifti(kind=large, start=544, dim=[len(shape), *shape, *[1] * (7 - len(shape))])),
        "a.mgh": mgh(dims=sizes),
        "a.mgz": packed(mgh(dims=sizes)),
        "a.mha": meta(DimSize=listed, NDims=len(shape), TransformMatrix=None, Offset=None, ElementSpacing=None),
        "a.nrrd": nrrd(sizes=listed, dimension=len(shape), space=None, space_directions=None, space_origin=None,
                       kinds=None),
        "a.npz": zipped(content=npy(tuple(shape))),
    }  # fmt: skip


@pytest.mark.parametrize("name", claims((1, 1, 1)))
@pytest.mark.parametrize(
    "shape",
    [(GIANT,) * 3, (-3, 4, 5), (3, -4, -5), (0, 4, 5), (3, 4, 0), (3, 4, 6), (2**31 - 1, 1, 1), (1300, 1300, 1200)],
    ids=str,
)
def test_sizes_that_cannot_be(folder, name, shape):
    """Memory is taken for what a header claims, before anybody sees that the file is small."""
    line = refused(put(folder, name, claims(shape)[name]))
    assert "claims" in line or "ends before its last voxel" in line or "damaged" in line


@pytest.mark.parametrize("wrong", [0, -1, 8, 9, 16, 32767])
def test_axes_that_cannot_be(folder, wrong):
    """NIfTI has one to seven axes."""
    refused(put(folder, "a.nii", nifti(dim=[wrong, 3, 4, 5, 1, 1, 1, 1])))
    if wrong != 8:
        refused(put(folder, "a.mha", meta(NDims=wrong)))
        refused(put(folder, "a.nrrd", nrrd(dimension=wrong)))


BOMB = 96 * 2**20


BOMBS = {
    "a.nii.gz": lambda: zeros_packed(BOMB, nifti()),
    "b.nii.gz": lambda: zeros_packed(BOMB, nifti(vox_offset=90 * 2**20)),
    "c.nii.gz": lambda: zeros_packed(BOMB, nifti(dim=[3, 1200, 1000, 1200, 1, 1, 1, 1])),
    "a.mgz": lambda: zeros_packed(BOMB, mgh()),
    "a.mha": lambda: meta(CompressedData="True", data=zeros_packed(BOMB, wbits=15)),
    "b.mha": lambda: meta(CompressedData="True", data=zeros_packed(BOMB), DimSize="1200 1000 1200"),
    "a.nrrd": lambda: nrrd(encoding="gzip", data=zeros_packed(BOMB)),
    "b.nrrd": lambda: nrrd(encoding="gzip", byte_skip=90 * 2**20, data=zeros_packed(BOMB)),
    "a.npz": lambda: zipped(content=npy((3, 4, 5), body=bytes(BOMB))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_more_is_unpacked_than_the_image_is(folder, name):
    """Three megabytes that become six gigabytes end the program, or the machine."""
    path = put(folder, name, BOMBS[name]())
    tracemalloc.start()
    try:
        assert read_volume(path).array.shape == ARRAY.shape
    except UserError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < BOMB / 2


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


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgh", "a.mgz", "a.mha", "b.mha", "a.nrrd", "b.nrrd", "a.npz"])
def test_half_a_file(folder, name, cut):
    """A download that broke off."""
    import zlib

    large = np.random.default_rng(0).integers(0, 200, (12, 12, 12)).astype("int16")
    content = {
        "a.nii": nifti(large), "a.nii.gz": packed(nifti(large)), "a.mgh": mgh(large)[: 284 + large.nbytes],
        "a.mgz": packed(mgh(large)[: 284 + large.nbytes]), "a.mha": meta(large), "a.nrrd": nrrd(large),
        "b.mha": meta(large, zlib.compress(large.tobytes("F")), CompressedData="True"),
        "b.nrrd": nrrd(large, packed(large.tobytes("F")), encoding="gzip"), "a.npz": npz(vol=large),
    }[name]  # fmt: skip
    np.testing.assert_array_equal(read_volume(put(folder, name, content)).array, large)
    refused(put(folder, name, content[: int(cut * len(content))]))


def test_random_bytes_never_end_the_process(folder):
    """Any byte of a header may be anything: a plain answer, never a crash or another error."""
    rng = np.random.default_rng(0)
    for name, content in {
        "a.nii": nifti(), "a.mgh": mgh(), "a.mha": meta(), "a.nrrd": nrrd(), "a.npz": npz(vol=ARRAY, affine=AFFINE),
    }.items():  # fmt: skip
        for _ in range(150):
            changed = bytearray(content)
            for place in rng.integers(0, min(len(content), 420), rng.integers(1, 6)):
                changed[place] = rng.integers(0, 256)
            with contextlib.suppress(UserError):
                read_volume(put(folder, name, bytes(changed)))


def test_more_than_the_memory_holds(folder, monkeypatch):
    """The machine stops for everybody."""
    monkeypatch.setattr("app.data.stored.free_bytes", lambda: 300)
    refused(put(folder, "a.nii", nifti()), "GiB of memory", "crop or resample")
