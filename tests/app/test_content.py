"""What a file is, whatever its name."""

import gzip

import nibabel
import numpy as np
import pytest

from app.data.inputs import find_volumes
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from tests.app.image_files import AFFINE, ARRAY, meta, mgh, nifti, npz, nrrd, packed
from tests.app.value_cases import put, refused

NAMED = [
    ("packed.nii", packed(nifti()), "compressed; read as such"),
    ("plain.nii.gz", nifti(), "not compressed; read as such"),
    ("plain.mgz", mgh(), "not compressed; read as such"),
    ("packed.mgh", packed(mgh()), "compressed; read as such"),
    ("nrrd.nii.gz", nrrd(), "by its content NRRD"),
    ("meta.nrrd", meta(), "by its content MetaImage"),
    ("nifti.mha", nifti(), "by its content NIfTI"),
    ("nifti.mgz", packed(nifti()), "by its content NIfTI"),
    ("single.hdr", nifti(), "by its content NIfTI"),
    ("UPPER.NII", nifti(), ""),
    ("UPPER.NII.GZ", packed(nifti()), ""),
    ("Mixed.Nii.Gz", packed(nifti()), ""),
    ("UPPER.MHA", meta(), ""),
    ("UPPER.NRRD", nrrd(), ""),
    ("UPPER.MGZ", packed(mgh()), ""),
    ("UPPER.NPZ", npz(vol=ARRAY, affine=AFFINE), ""),
    ("members.nii.gz", gzip.compress(nifti()[:400]) + gzip.compress(nifti()[400:]), ""),
]


@pytest.mark.parametrize(("name", "content", "note"), NAMED, ids=[item[0] for item in NAMED])
def test_content_counts_and_not_the_name(tmp_path, capsys, name, content, note):
    """Browsers unpack, people rename: the image is there all the same, and what was odd about it is said."""
    path = put(tmp_path, name, content)
    volume = read_volume(path)
    printed = capsys.readouterr().out
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert note in printed
    assert bool(printed) == bool(note)
    (scan,), problems = find_volumes([path])
    assert not problems
    assert scan.name == name.split(".")[0]


def tar(content):
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("a.nii")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


STRANGE = [
    ("zip", b"PK\x03\x04" + bytes(100), "a zip archive; unpack it"),
    ("tar", tar(nifti()), "a tar archive; unpack it"),
    ("tar.gz", packed(tar(nifti())), "a tar archive; unpack it"),
    ("twice", packed(packed(nifti())), "compressed twice"),
    ("xz", b"\xfd7zXZ\x00" + bytes(50), "unpack it"),
    ("bzip2", b"BZh91AY" + bytes(50), "unpack it"),
    ("web page", b"<!DOCTYPE html>\n<html><body>Log in</body></html>", "a web page, so the download failed"),
    ("web page, packed", packed(b"\n <HTML><head>"), "a web page, so the download failed"),
    ("error of a server", b'<?xml version="1.0"?><Error>AccessDenied</Error>', "an XML document"),
    ("JSON of a server", b'{"detail": "not found"}', "a text, not an image"),
    ("DICOM", bytes(128) + b"DICM" + bytes(100), "one file of a DICOM series; give its folder"),
    ("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n", "git lfs pull"),
    ("git-annex", b"/annex/objects/SHA256E-s123--abc.nii.gz\n", "git annex get"),
    ("git-annex link", b"../.git/annex/objects/aa/bb/SHA256E-s1.nii.gz", "git annex get"),
    ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5 or MINC"),
    ("PNG", b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture or a document"),
    ("JPEG", b"\xff\xd8\xff\xe0" + bytes(50), "a picture or a document"),
    ("AppleDouble", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(60), "what macOS keeps beside a file"),
    ("empty", b"", "the file is empty"),
    ("empty, packed", packed(b""), "the file is empty"),
    ("noise", bytes(range(128, 256)) * 8 + bytes(8), "by its content no "),
    ("damaged gzip", b"\x1f\x8b\x08\x00" + b"\xff" * 60, "damaged gzip file"),
    ("Analyze", nifti(start=348, magic=b"")[:348], "does not say how an image lies; save it as NIfTI"),
    ("Analyze, big-endian", nifti(order=">", start=348, magic=b"")[:348], "save it as NIfTI"),
]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".hdr", ".mgz", ".mha", ".nrrd", ".npz"])
@pytest.mark.parametrize(("kind", "content", "words"), STRANGE, ids=[item[0] for item in STRANGE])
def test_something_else_is_called_by_its_name(tmp_path, kind, content, words, suffix):
    """'Damaged' sends people to look for another disk, where a login page was saved."""
    path = put(tmp_path, f"a{suffix}", content)
    if (kind, suffix) == ("zip", ".npz"):
        words = "damaged"
    refused(path, words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.img", ARRAY.tobytes(), "give the .hdr beside it"),
        ("A.IMG", ARRAY.tobytes(), "give the .hdr beside it"),
        ("a", packed(nifti()), "by its content NIfTI: name it so, .nii.gz"),
        ("a.gz", packed(nifti()), "by its content NIfTI: name it so, .nii.gz"),
        ("a.nii.1", nrrd(), "by its content NRRD: name it so, .nrrd"),
        ("a.nii.bz2", b"BZh91AY", "compressed by another program than gzip"),
        ("a.png", b"\x89PNG\r\n", "a picture or a document"),
        ("a.raw", bytes(range(256)), "expected .nii.gz, .nii,"),
        ("a.mnc", b"\x89HDF\r\n\x1a\n", "HDF5 or MINC"),
    ],
)
def test_names_of_no_image(tmp_path, name, content, words):
    """What it is may be seen all the same, and what to do."""
    refused(put(tmp_path, name, content), f"unknown image format; {words}")


def test_larger_images_of_every_packing(tmp_path, rng):
    """Streams are longer than one buffer; noise is longer packed than plain."""
    large = rng.integers(0, 2**15, (70, 90, 60)).astype("int16")
    for name in ("a.nii.gz", "a.mgz", "a.mha", "a.nrrd", "a.npz", "a.nii"):
        write_volume(tmp_path / name, Volume(large, AFFINE))
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, large)


def test_pairs_of_nifti(tmp_path, capsys):
    """Header and voxels in two files, and such a header called .nii."""
    header = nifti(start=0, magic=b"ni1")[:348]
    voxels = ARRAY.tobytes("F")
    for name, image in (("a.hdr", "a.img"), ("B.HDR", "B.IMG"), ("c.nii", "c.img"), ("d.e.hdr", "d.e.img")):
        path = put(tmp_path, name, header)
        refused(path, "put the data file beside the header")
        put(tmp_path, image, voxels)
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, ARRAY)
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
        write_volume(tmp_path / "out.nii.gz", volume)
        np.testing.assert_array_equal(read_volume(tmp_path / "out.nii.gz").array, ARRAY)
        put(tmp_path, image, voxels[:-2])
        refused(path, "too short")
    assert "by its content the header of a NIfTI pair" in capsys.readouterr().out
    nibabel.save(nibabel.Nifti1Pair(ARRAY, AFFINE), tmp_path / "f.hdr")
    np.testing.assert_array_equal(read_volume(tmp_path / "f.hdr").array, ARRAY)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.hdr", "a.img", "a.dcm"])
def test_formats_of_two_files_are_not_written(tmp_path, name):
    """The second would have the name of a temporary file."""
    with pytest.raises(UserError, match="images are not written so"):
        write_volume(tmp_path / name, Volume(ARRAY, AFFINE))
    assert not list(tmp_path.iterdir())
