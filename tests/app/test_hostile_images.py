"""Images from strangers: headers that lie, paths that lead elsewhere, bombs. Each kind with its neighbours."""

import contextlib
import os
import tracemalloc

import nibabel
import numpy as np
import pytest

from app.data.read import read_volume
from app.errors import UserError
from app.systems.template.points import read_points
from tests.app.hostile_cases import npy, put, refused, zipped
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd, packed, zeros_packed

GIANT = 40_000  # cubed, far beyond any memory and any index


@pytest.fixture
def canary(tmp_path):
    """A file elsewhere that nothing may read: its voxels would be 120 at every place."""
    path = tmp_path / "secret" / "canary.raw"
    path.parent.mkdir()
    path.write_bytes(b"x\0" * ARRAY.size)
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns))  # of access and change: read, the first becomes newer
    yield path
    assert os.stat(path).st_atime_ns == 1, "the canary was read"


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
