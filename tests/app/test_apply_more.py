"""The task `apply` further: inverses, composites, what `register` wrote, and what is refused."""

import nibabel
import numpy as np
import SimpleITK

from app.transforms.files import read_transform
from app.transforms.transform import Chain
from tests.app.refusals import assert_refused
from tests.app.warp_cases import GRIDS, apply_words, points_within, smooth_field, through_itk, turned


def test_inverses_in_stated_order(main, warp_files, tmp_path):
    """There, then back by the same files inverted in the other order: the first points, within 0.05 mm."""
    back = [
        {"file": str(warp_files / "warp.nii.gz"), "inverse": True},
        {"file": str(warp_files / "affine.tfm"), "inverse": True},
    ]
    done = main(*apply_words(warp_files, tmp_path / "there", points=[warp_files / "points.csv"]))
    assert done.returncode == 0, done.stderr
    moved = tmp_path / "there/points/points.csv"
    done = main(
        *apply_words(
            warp_files, tmp_path / "back", transforms=back, points=[moved], reference=warp_files / "moving.nii.gz"
        )
    )
    assert done.returncode == 0, done.stderr
    table = np.genfromtxt(tmp_path / "back/points/points.csv", delimiter=",", skip_header=1)[:, 1:]
    np.testing.assert_allclose(table, points_within(), atol=0.05)
    there = main(*apply_words(warp_files, tmp_path / "image", images=[warp_files / "moving.nii.gz"]))
    assert there.returncode == 0
    image = tmp_path / "image/images/moving.nii.gz"
    done = main(
        *apply_words(
            warp_files, tmp_path / "again", transforms=back, images=[image], reference=warp_files / "moving.nii.gz"
        )
    )
    assert done.returncode == 0, done.stderr
    first, again = (
        nibabel.load(p).get_fdata() for p in (warp_files / "moving.nii.gz", tmp_path / "again/images/moving.nii.gz")
    )
    inner = (slice(6, -6),) * 3
    assert np.corrcoef(first[inner].ravel(), again[inner].ravel())[0, 1] > 0.97


def test_composites_are_the_chain(main, warp_files, tmp_path):
    """One file for all: SimpleITK's reading of the .h5, and our reading of the displacement, move points alike."""
    chain = Chain((turned(), smooth_field(2, "oblique")))
    for name in ("all.h5", "all.nii.gz"):
        done = main(*apply_words(warp_files, tmp_path / name, images=[warp_files / "moving.nii.gz"], composite=name))
        assert done.returncode == 0, done.stderr
        points = points_within("oblique", margin=5)
        np.testing.assert_allclose(read_transform(tmp_path / name / name)(points), chain(points), atol=0.02)
    itk = SimpleITK.ReadTransform(str(tmp_path / "all.h5/all.h5"))
    np.testing.assert_allclose(through_itk(itk, points), chain(points), atol=1e-3)


def test_what_register_moved(main, phantoms, tmp_path):
    """`apply` of what `register` wrote gives its moved image and its moved labels; the file names of both are equal."""
    names = {side: phantoms.parent / "image" / f"phantom-00{n}.nii.gz" for n, side in enumerate(("moving", "fixed"))}
    labels = phantoms.parent / "labels" / "phantom-000.nii.gz"
    pair = [word for key, value in (*names.items(), ("moving_labels", labels), ("output", tmp_path / "reg"))
            for word in ("--set", f"{key}={value}")]  # fmt: skip
    assert main("register", *pair).returncode == 0
    done = main(*apply_words(tmp_path, tmp_path / "out", transforms=[tmp_path / "reg/displacement.nii.gz"],
                       images=[names["moving"]], labels=[labels]))  # fmt: skip
    assert done.returncode == 0, done.stderr
    moved = nibabel.load(tmp_path / "reg/moved.nii.gz").get_fdata()
    ours = nibabel.load(tmp_path / "out/images/phantom-000.nii.gz").get_fdata()
    assert np.abs(moved - ours).max() < 1e-3 * np.ptp(moved)
    same = (
        nibabel.load(tmp_path / "reg/moved_labels.nii.gz").get_fdata()
        == nibabel.load(tmp_path / "out/labels/phantom-000.nii.gz").get_fdata()
    )
    assert same.mean() > 0.999


def test_warps_on_another_grid_and_points_outside_are_said(main, warp_files, tmp_path):
    """A warp says nothing beyond its grid: how much of the result that is, and how many points, is reported."""
    far = tmp_path / "far.csv"
    far.write_text("x,y,z\n900,0,0\n0,0,0\n")
    done = main(*apply_words(warp_files, tmp_path / "out", points=[far]))
    assert done.returncode == 0
    assert "far.csv: 1 points lie beyond a displacement field" in done.stdout
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 300.0
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), "float32"), affine), tmp_path / "elsewhere.nii.gz")
    done = main(
        *apply_words(
            warp_files, tmp_path / "two", images=[warp_files / "moving.nii.gz"], reference=tmp_path / "elsewhere.nii.gz"
        )
    )
    assert done.returncode == 0
    assert "most of the result lies beyond a displacement field" in done.stdout


def test_refusals(main, warp_files, tmp_path):
    """Each in its line, before anything is written."""
    (tmp_path / "flat.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1\n")
    (tmp_path / "nan.csv").write_text("x,y,z\nnan,0,0\n")
    (tmp_path / "ascii.stl").write_text("solid a\nendsolid a\n" + 99 * " ")
    vectors = np.full((5, 6, 7, 1, 3), np.nan, "float32")
    nan = nibabel.Nifti1Image(vectors, np.eye(4))
    nan.header.set_intent("vector")
    nibabel.save(nan, tmp_path / "nan.nii.gz")
    image = [warp_files / "moving.nii.gz"]
    flat = {"file": str(tmp_path / "flat.txt"), "kind": "matrix", "inverse": True}
    cases = [
        ({"transforms": [flat], "images": image}, ["flat.txt", "cannot be inverted"]),
        ({"transforms": [flat | {"inverse": False}], "points": [warp_files / "points.csv"]}, ["cannot be inverted"]),
        ({"transforms": [tmp_path / "nan.nii.gz"], "images": image}, ["nan.nii.gz", "NaN"]),
        ({"images": [tmp_path / "no.nii.gz"], "labels": [tmp_path / "none.nii.gz"]}, ["no.nii.gz", "none.nii.gz"]),
        ({"points": [tmp_path / "nan.csv"]}, ["line 2", "finite"]),
        ({"surfaces": [tmp_path / "ascii.stl"]}, ["binary STL"]),
        ({"images": image, "composite": "a.lta"}, ["linear transforms only"]),
        ({"images": image, "composite": "../a.nii.gz"}, ["without its folder"]),
        ({"images": image * 2}, ["overwrite each other"]),
        ({}, ["images: missing"]),
        ({"images": image, "transforms": []}, ["none given"]),
        ({"images": image, "kind": "itk"}, ["kind: belongs to pairs"]),
        ({"pairs": tmp_path / "a.csv", "images": image}, ["stands in the manifest"]),
    ]
    for values, expected in cases:
        assert_refused(main(*apply_words(warp_files, tmp_path / "out", **values)), expected)
        assert not (tmp_path / "out").exists()
    unknown = main(
        *apply_words(warp_files, tmp_path / "out", transforms=[{"file": "a.nii", "invers": True}], images=image)
    )
    assert_refused(unknown, ["did you mean 'inverse'"])


def test_one_file_needs_no_list(main, warp_files, tmp_path, monkeypatch):
    """A path alone, relative to where the user is: absolute in the config that is kept."""
    monkeypatch.chdir(warp_files)
    pairs = ("transforms=warp.nii.gz", "images=moving.nii.gz", f"output={tmp_path / 'o'}")
    done = main("apply", *(word for pair in pairs for word in ("--set", pair)))
    assert done.returncode == 0, done.stderr
    kept = (tmp_path / "o/config.yaml").read_text()
    assert f"file: {warp_files / 'warp.nii.gz'}" in kept
    assert f"- {warp_files / 'moving.nii.gz'}" in kept


def test_dry_run_writes_nothing(main, warp_files, tmp_path):
    """It says what the results would be."""
    done = main(*apply_words(warp_files, tmp_path / "out", images=[warp_files / "moving.nii.gz"]), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert " x ".join(map(str, GRIDS["oblique"][0])) in done.stdout
    assert not (tmp_path / "out").exists()
