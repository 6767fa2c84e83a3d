"""Names of files as other systems write them: accents, spaces, brackets, length, links."""

import os
import unicodedata

import numpy as np
import pytest

from app.data.inputs import find_volumes
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.files import as_stored, write_json
from app.systems.registration.cohort import read_cohort
from app.systems.registration.config import CohortConfig

NAMES = ["Müller Zoë", "scan (1) [copy]", "naïve & café's", "患者", "100%", "-b=1"]


def write(path):
    write_volume(path, Volume(np.ones((3, 4, 5), "uint8"), np.eye(4)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_name_is_the_same_however_its_accents_are_stored(tmp_path, name, stored):
    """A CSV written on Windows names files that an archive of macOS spells with two letters for one."""
    folder = tmp_path / unicodedata.normalize(stored, f"Größe {name}")
    folder.mkdir()
    write(folder / unicodedata.normalize(stored, f"{name}.nii.gz"))
    for asked in ("NFC", "NFD"):
        path = tmp_path / unicodedata.normalize(asked, f"Größe {name}") / unicodedata.normalize(asked, f"{name}.nii.gz")
        assert read_volume(path).array.shape == (3, 4, 5)
        (scan,), problems = find_volumes([path.parent])
        assert not problems
        assert unicodedata.normalize("NFC", scan.name) == unicodedata.normalize("NFC", name)
        cohort = tmp_path / "cohort.csv"
        cohort.write_text(f'subject,image\ns1,"{path.relative_to(tmp_path)}"\n', encoding="utf-8")
        (subject,) = read_cohort(CohortConfig(cohort=cohort))
        assert read_volume(subject.image).array.shape == (3, 4, 5)


def test_images_and_labels_belong_together_across_spellings(tmp_path):
    """One archive of images and one of labels, packed on two systems."""
    write(tmp_path / unicodedata.normalize("NFD", "Jürgen_t1.nii.gz"))
    write(tmp_path / unicodedata.normalize("NFC", "Jürgen_seg.nii.gz"))
    for form in ("NFC", "NFD"):
        images = unicodedata.normalize(form, f"{tmp_path}/Jür*_t1.nii.gz")
        (subject,) = read_cohort(CohortConfig(images=images, labels=images.replace("_t1", "_seg")))
        assert subject.labels.name.endswith("_seg.nii.gz")


def test_what_is_not_there_stays_as_it_was_asked_for(tmp_path):
    """A message must name the path that the user wrote."""
    (tmp_path / "bär").mkdir()
    for name in ("bär/none.nii", "none/x.nii", "bar"):
        assert as_stored(tmp_path / name) == tmp_path / name
    with pytest.raises(UserError, match="bär/none.nii"):
        read_volume(tmp_path / "bär" / "none.nii")


@pytest.mark.parametrize("name", ["x" * 247, "ü" * 123, "a." + "b" * 240, "x" * 200])
def test_results_of_long_names_can_be_written(tmp_path, name, capsys):
    """Results add to a name; that no file system takes it must not come out after an hour of work."""
    given, to = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    write(given / f"{name}.nii.gz"[-255:])
    (scan,), problems = find_volumes([given])
    assert not problems
    assert f"they begin with {scan.name}" in capsys.readouterr().out
    for ending in ("_mask.nii.gz", "_jacobian_determinant.nii.gz"):
        write(to / f"{scan.name}{ending}")
    write_json(to / f"{scan.name}.json", {})
    same = find_volumes([given])[0][0].name
    assert same == scan.name


def test_links_are_followed_once(tmp_path):
    """A link to the folder above would list every scan again; one to another disk holds scans like any folder."""
    elsewhere, given = tmp_path / "elsewhere", tmp_path / "given"
    elsewhere.mkdir()
    given.mkdir()
    write(elsewhere / "far.nii.gz")
    write(given / "near.nii.gz")
    (given / "disk").symlink_to(elsewhere)
    (given / "loop").symlink_to(given)
    (elsewhere / "back").symlink_to(given)
    (given / "file.nii.gz").symlink_to(elsewhere / "far.nii.gz")
    found, problems = find_volumes([given])
    assert sorted(item.name for item in found) == ["far", "file", "near"]
    assert not problems


def test_a_link_to_nothing_is_said(tmp_path):
    """A dataset whose content was not fetched would lose half of its scans without a word."""
    write(tmp_path / "there.nii.gz")
    os.symlink("/nowhere/.git/annex/objects/x", tmp_path / "away.nii.gz")
    found, problems = find_volumes([tmp_path])
    assert [item.name for item in found] == ["there"]
    assert len(problems) == 1
    assert "away.nii.gz: a link to a file that is not there; fetch it" in problems[0]
    with pytest.raises(UserError, match="away.nii.gz"):
        read_volume(tmp_path / "away.nii.gz")
