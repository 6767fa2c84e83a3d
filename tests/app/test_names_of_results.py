"""Names of results: BIDS derivatives with their JSON, and a submission to Learn2Reg that `evaluate` reads back."""

import json
import shutil

import nibabel
import numpy as np
import pytest

from app.errors import UserError
from app.reporting.learn2reg import dice30, literal_measures, literal_sdlogj
from app.systems.registration.names import entities_of, space_of
from tests.app.refusals import assert_refused
from tests.app.test_pairs_of_a_manifest import table, words, write_manifest


def test_names_of_bids(main, phantoms, tmp_path):
    """Entities kept, space and transform named, a JSON beside each; nothing under the plain names."""
    files = {}
    for name, session in (("moving", 1), ("fixed", 2)):
        files[name] = tmp_path / f"sub-01_ses-{session}_acq-mprage_T1w.nii.gz"
        shutil.copy(phantoms.parent / "image" / f"phantom-00{session}.nii.gz", files[name])
    labels = phantoms.parent / "labels" / "phantom-001.nii.gz"
    done = main(*words("register", **files, moving_labels=labels, names="bids", output=tmp_path / "out", preset="fast"))
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "out").iterdir() if path.name.startswith("sub-")}
    whole, own = "sub-01_ses-1_from-ses1T1w_to-ses2T1w_mode-image", "sub-01_ses-1_acq-mprage_space-ses2T1w"
    assert {name for name in written if not name.endswith(".json")} == {
        f"{own}_desc-registered_T1w.nii.gz", f"{own}_desc-registered_dseg.nii.gz", f"{own}_desc-jacobian_T1w.nii.gz",
        f"{whole}_xfm.nii.gz", f"{whole}_desc-affine_xfm.tfm",
    }  # fmt: skip
    assert len(written) == 10
    content = json.loads((tmp_path / "out" / f"{whole}_xfm.json").read_text())
    assert content["Sources"] == [str(files["moving"]), str(files["fixed"])]
    assert not (tmp_path / "out/moved.nii.gz").exists()


def test_names_that_are_none_of_bids(main, phantoms, tmp_path):
    """Refused before anything is computed."""
    image = phantoms.parent / "image" / "phantom-000.nii.gz"
    done = main(*words("register", moving=image, fixed=image, names="bids", output=tmp_path / "out"))
    assert_refused(done, ["none of BIDS"])
    assert not (tmp_path / "out").exists()


def test_names_of_bids_for_what_was_moved(main, phantoms, tmp_path):
    """`apply` names image and labels by the reference's space, a JSON with the transforms beside each."""
    files = [tmp_path / f"sub-01_ses-{session}_T1w.nii.gz" for session in (1, 2)]
    for number, file in enumerate(files):
        shutil.copy(phantoms.parent / "image" / f"phantom-00{number}.nii.gz", file)
    (tmp_path / "m.txt").write_text("1 0 0 2\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    values = {"transforms": f"{{file: {tmp_path / 'm.txt'}, kind: matrix}}", "images": files[0], "names": "bids"}
    done = main(*words("apply", **values, reference=files[1], output=tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    name = "sub-01_ses-1_space-ses2T1w_T1w"
    assert {path.name for path in (tmp_path / "out/images").iterdir()} == {f"{name}.nii.gz", f"{name}.json"}
    content = json.loads((tmp_path / "out/images" / f"{name}.json").read_text())
    assert content["Sources"] == [str(files[0]), str(tmp_path / "m.txt")]
    other = main(
        *words("apply", **values, reference=phantoms.parent / "image" / "phantom-001.nii.gz", output=tmp_path / "no")
    )
    assert_refused(other, ["phantom-001.nii.gz: its name is none of BIDS"])
    assert_refused(main(*words("apply", **values, output=tmp_path / "no")), ["reference: missing"])
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("image", "other", "label"),
    [
        ("sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz", "sub01T1w"),
        ("sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz", "T1w"),
        ("tpl-MNI152_cohort-2_T1w.nii.gz", "sub-01_T1w.nii.gz", "MNI1522"),
        ("sub-01_ses-b_run-2_bold.nii.gz", "sub-01_ses-a_run-2_bold.nii.gz", "sesbbold"),
    ],
)
def test_labels_of_spaces(image, other, label):
    """Letters and digits alone, and enough of them to tell the two apart."""
    assert space_of(entities_of(image), entities_of(other)) == label
    with pytest.raises(UserError, match="none of BIDS"):
        entities_of("scan.nii.gz")


def test_a_submission_written_and_read(main, phantoms, tmp_path):
    """Displacements in voxels by the challenge's names; measured from the folder they give what they gave before."""
    for number in range(2):
        for kind in ("image", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
            to = tmp_path / kind / f"phantom-00{number}.nii.gz"
            shutil.copy(phantoms.parent / kind / f"phantom-00{number}.nii.gz", to)
            to.rename(tmp_path / kind / f"OASIS_000{number}_0000.nii.gz")
    names = [f"OASIS_000{number}_0000.nii.gz" for number in range(2)]
    lines = [
        "moving,fixed,moving_labels,fixed_labels",
        ",".join(f"{k}/{n}" for k in ("image", "labels") for n in names),
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    command = {"pairs": tmp_path / "pairs.csv", "preset": "fast", "affine": "none"}
    done = main(*words("register", **command, names="learn2reg", output=tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    submitted = nibabel.load(tmp_path / "out/submission/disp_0001_0000.nii.gz")
    assert submitted.shape == (24, 24, 24, 3)
    for name, values in (("a", {"pairs": tmp_path / "out/pairs.csv"}),
                         ("b", {"pairs": tmp_path / "pairs.csv", "submission": tmp_path / "out/submission", "kind": "voxel"})):  # fmt: skip  # noqa: E501
        done = main(*words("evaluate", **values, learn2reg="true", output=tmp_path / name))
        assert done.returncode == 0, done.stderr
    (first,), (second,) = table(tmp_path / "a/pairs.csv"), table(tmp_path / "b/pairs.csv")
    for measure in ("dice", "l2r_dice", "l2r_hd95", "l2r_sdlogj", "sdlogj"):
        assert float(first[measure]) == pytest.approx(float(second[measure]), abs=1e-4)
    done = main(*words("evaluate", pairs=tmp_path / "pairs.csv", submission=tmp_path, output=tmp_path / "no"))
    assert_refused(done, ["disp_0001_0000.nii.gz: no such file"])
    done = main(*words("register", pairs=write_manifest(tmp_path / "p.csv", phantoms, [(0, 1)]), names="learn2reg",
                       output=tmp_path / "no"))  # fmt: skip
    assert_refused(done, ["case number of four digits"])


def test_literal_measures_by_hand(rng):
    """A field that stretches: SDlogJ with the +3; a shift by two voxels: Dice and the distance of surfaces."""
    shape = (12, 13, 14)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    stretched = np.zeros((*shape, 3))
    stretched[..., 0] = 0.05 * places[..., 0] ** 2
    determinants = 1 + 0.1 * np.arange(2, 10)
    assert literal_sdlogj(stretched) == pytest.approx(np.log(determinants + 3).std(), abs=1e-9)
    fixed = np.zeros(shape, int)
    fixed[4:8, 4:8, 4:8] = 7
    shift = np.zeros((*shape, 3))
    shift[..., 1] = 2.0
    measures = literal_measures(shift, fixed, fixed)
    assert measures["l2r_dice"] == pytest.approx(0.5)
    assert measures["l2r_hd95"] == pytest.approx(2.0)
    assert measures["l2r_sdlogj"] == pytest.approx(0.0, abs=1e-12)
    assert dice30(rng.permutation(np.arange(11) / 10)) == pytest.approx(0.3)
