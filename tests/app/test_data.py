"""Volumes, cohorts, batches, metrics: round trips, truths and limits."""

from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from app.config import load_config
from app.data.inputs import find_volumes
from app.data.phantoms.brains import simulate_brain
from app.data.phantoms.config import BrainsConfig
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.files import whole_file
from app.flows.predict import predict
from app.systems import find_system
from app.systems.registration.cache import SubjectCache
from app.systems.registration.cohort import read_cohort
from app.systems.registration.config import CohortConfig


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz", ".npz"])
def test_volume_round_trip(tmp_path, rng, suffix):
    """An array or affine that changes on its way through a file misplaces anatomy."""
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -7], [0, 0, 2.2, 11], [0, 0, 0, 1]])
    array = rng.integers(0, 200, (5, 6, 7)).astype("uint8")
    write_volume(tmp_path / f"a{suffix}", Volume(array, affine))
    read = read_volume(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.affine, affine, atol=1e-5)
    np.testing.assert_allclose(read.spacing_mm, (1.5, 2.0, 2.2), atol=1e-5)


def test_header_and_type_are_kept(tmp_path):
    """A lost description or a float64 file of a uint8 image is what users of other tools complain of."""
    image = nibabel.Nifti1Image(np.arange(24, dtype="int16").reshape(2, 3, 4), np.eye(4))
    image.header["descrip"] = b"scanner 7"
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "a.nii.gz")
    write_volume(tmp_path / "b.nii.gz", read_volume(tmp_path / "a.nii.gz"))
    copy = nibabel.load(tmp_path / "b.nii.gz")
    assert bytes(copy.header["descrip"]).startswith(b"scanner 7")
    assert copy.get_data_dtype() == np.int16
    assert copy.header.get_xyzt_units() == ("mm", "sec")


def test_scaled_nifti_is_read_in_its_own_units(tmp_path):
    """A slope that is applied twice, or never, changes intensities when the file is written again."""
    image = nibabel.Nifti1Image(np.linspace(0, 1, 8).reshape(2, 2, 2), np.eye(4))
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii")
    first = read_volume(tmp_path / "a.nii")
    write_volume(tmp_path / "b.nii", first)
    np.testing.assert_allclose(read_volume(tmp_path / "b.nii").array, first.array)


def test_whole_file_or_none(tmp_path):
    """A write that fails half way must leave the old content and no litter."""
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        fail()
    assert path.read_text(encoding="utf-8") == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_real_orientations_are_one_head(data_folder):
    """All 48 axis orders of one head must be the same anatomy in millimetres."""
    files = sorted((data_folder / "io_orientation").glob("*.nii.gz"))
    assert len(files) == 48
    centres = []
    for path in files[:12]:
        volume = read_volume(path)
        weights = volume.array.astype("float64")
        index = np.indices(volume.array.shape).reshape(3, -1)
        centre = (index * weights.ravel()).sum(1) / weights.sum()
        centres.append(volume.affine[:3, :3] @ centre + volume.affine[:3, 3])
    np.testing.assert_allclose(centres, np.broadcast_to(centres[0], (12, 3)), atol=0.5)


def test_mgz_of_a_real_brain(data_folder):
    """FreeSurfer's own format, a 256^3 volume with its affine."""
    volume = read_volume(data_folder / "brain_1mm" / "norm.mgz")
    assert volume.array.shape == (256, 256, 256)
    np.testing.assert_allclose(volume.spacing_mm, (1, 1, 1), atol=1e-4)


def test_globs_and_odd_sizes(data_folder):
    """The hippocampus cohort: a glob, sizes that vary, one shape for the network."""
    folder = data_folder / "hippocampus_msd"
    config = CohortConfig(images=f"{folder}/images/*.nii.gz", labels=f"{folder}/labels/*.nii.gz")
    subjects = read_cohort(config)
    assert len(subjects) == 200
    assert all(s.image.name.split(".")[0] == s.labels.name.split(".")[0] for s in subjects)
    cache = SubjectCache(config, (40, 56, 48), structures=(1, 2))
    for subject in subjects[:5]:
        assert cache.image(subject).shape == (40, 56, 48, 1)
        kept = cache.labels(subject)
        assert (kept > 0).sum() == (read_volume(subject.labels).array > 0).sum()


def test_globs_match_by_what_the_wildcards_match(tmp_path):
    """In alphabetical order s1.nii.gz is first but s10_seg.nii.gz is: the wrong person's labels."""
    for name in ("s1", "s10", "s2"):
        for folder, end in (("a", ".nii.gz"), ("b", "_seg.nii.gz")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}{end}").write_text("")
    config = CohortConfig(images=f"{tmp_path}/a/*.nii.gz", labels=f"{tmp_path}/b/*_seg.nii.gz")
    subjects = read_cohort(config)
    assert [s.name for s in subjects] == ["s1", "s10", "s2"]
    assert all(s.labels.name == f"{s.name}_seg.nii.gz" for s in subjects)
    (tmp_path / "b" / "s2_seg.nii.gz").unlink()
    with pytest.raises(UserError, match="'s2'"):
        read_cohort(config)


def test_one_file_name_in_many_folders(tmp_path):
    """FreeSurfer's layout: the folder is the subject."""
    for name in ("anna", "bert"):
        (tmp_path / name / "mri").mkdir(parents=True)
        (tmp_path / name / "mri" / "norm.mgz").write_text("")
    assert [s.name for s in read_cohort(CohortConfig(images=f"{tmp_path}/*/mri/norm.mgz"))] == ["anna", "bert"]


def test_no_two_inputs_have_one_name(tmp_path):
    """The second would overwrite the first's mask in silence."""
    for name in ("a-001", "a", "other/a", "a-002"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.nii.gz").touch()
    files = [tmp_path / f"{name}.nii.gz" for name in ("a-001", "a", "other/a", "a-002")]
    names = [item.name for item in find_volumes(files)[0]]
    assert len(set(names)) == 4, names


@pytest.mark.parametrize("to", ["scans", "scans/out", "other"])
def test_results_do_not_lie_among_the_images(tmp_path, to):
    """A user's own NAME_mask would be overwritten; or the next run would take masks for images."""
    for name in ("scans/a.nii.gz", "other/b.nii.gz"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    run = SimpleNamespace(system=find_system("template"))
    config = SimpleNamespace(data=SimpleNamespace(nan="refuse"))
    inputs = [tmp_path / "scans", tmp_path / "other" / "b.nii.gz"]
    with pytest.raises(UserError, match="lies among the images"):
        predict(run, config, inputs, tmp_path / to)


def test_csv_as_excel_writes_it(tmp_path):
    """A byte-order mark and spaces after commas are no reason to refuse a cohort."""
    path = tmp_path / "cohort.csv"
    path.write_text("\ufeffsubject, image, labels\na, a.nii.gz, a_seg.nii.gz\n", encoding="utf-8")
    (subject,) = read_cohort(CohortConfig(cohort=path))
    assert (subject.name, subject.labels) == ("a", tmp_path / "a_seg.nii.gz")


def test_phantoms_are_seeded_and_complete():
    """Every structure in every subject, the same for the same seed, different between subjects."""
    config = BrainsConfig(shape=[32, 32, 32])
    image, labels = simulate_brain(config, 3)
    again, _ = simulate_brain(config, 3)
    other, _ = simulate_brain(config, 4)
    np.testing.assert_array_equal(image, again)
    assert np.abs(image.astype(int) - other).max() > 20
    assert set(np.unique(labels)) == set(range(9))


def test_shipped_configs_are_valid():
    """A config in the repository that does not load is the first thing a user meets."""
    from pathlib import Path

    from app.tasks import config_class

    files = sorted(Path(__file__).resolve().parents[2].glob("configs/*/*.yaml"))
    assert len(files) >= 5
    for path in files:
        config = load_config(config_class(path.parent.name), path)
        if path.parent.name == "tune":
            assert config.base().task == config.task
        else:
            assert config.task == path.parent.name
