"""Pairs of a cohort: dealt, cached, batched, measured."""

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.data.split import SplitConfig, split_cohort
from app.errors import UserError
from app.reporting.overlap import dice_per_label, hd95_per_label
from app.systems.registration.cache import SubjectCache, fit_to_shape
from app.systems.registration.cohort import draw_pairs, read_cohort
from app.systems.registration.config import CohortConfig, TrainingConfig
from app.systems.registration.measure import jacobian, regularity, summarise
from app.systems.registration.pairs import TrainingPairs
from nets.registration.hyper_parameter import HyperParameter


def test_pair_without_a_common_structure_is_left_out():
    """One NaN that reaches the mean would hide every other pair, and choose lambda by accident."""
    rows = [
        {"hyper": (0.1,), "dice": np.array([score]), "folding_percent": 0.0, "sdlogj": 0.0, "seconds": 1.0}
        for score in (0.5, np.nan, 0.7)
    ]
    assert summarise(rows)[0]["dice"] == pytest.approx(0.6)


def test_split_keeps_subjects_apart_and_is_seeded(phantoms):
    """A subject in two parts makes test figures worthless."""
    subjects = read_cohort(CohortConfig(cohort=phantoms))
    split = SplitConfig(train=0.5, validate=0.25, test=0.25)
    parts = split_cohort(subjects, split, seed=3)
    names = [subject.name for part in parts.values() for subject in part]
    assert sorted(names) == sorted(subject.name for subject in subjects)
    assert [len(part) for part in parts.values()] == [4, 2, 2]
    assert parts == split_cohort(subjects, split, seed=3)
    assert parts != split_cohort(subjects, split, seed=4)
    with pytest.raises(UserError, match="do not fit"):
        split_cohort(subjects, SplitConfig(train=9, validate=2, test=2), seed=0)


def test_pairs_are_different_subjects(phantoms):
    """A subject registered to itself scores a Dice of 1."""
    subjects = read_cohort(CohortConfig(cohort=phantoms))
    pairs = draw_pairs(subjects, 20, seed=0)
    assert len(set(pairs)) == 20
    assert all(moving != fixed for moving, fixed in pairs)
    assert len(draw_pairs(subjects[:2], 20, seed=0)) == 2


def test_batches_depend_on_seed_epoch_and_step_alone(phantoms):
    """A resumed run must see the pairs and lambdas that it would have seen."""
    config = CohortConfig(cohort=phantoms)
    subjects = read_cohort(config)
    cache = SubjectCache(config, (24, 24, 24))
    hyper = [HyperParameter("lambda")]

    def dataset(first=0, per="sample"):
        training = TrainingConfig(steps=5, batch_size=2, hyper_per=per)
        return TrainingPairs(subjects, cache, hyper, training, seed=7, first_epoch=first)

    whole, resumed = dataset(), dataset(first=1)
    whole[4]
    whole.on_epoch_end()
    for step in (3, 0):
        (a,), (b,) = whole[step], resumed[step]
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert whole[0][0]["hyper"].shape == (2, 1)
    shared = [dataset(per="batch").draw(0, step)[1] for step in range(10)]
    assert all(values[0] == values[1] for values in shared)


def test_cache_is_bounded(phantoms):
    """Memory that grows with the cohort ends a long training."""
    config = CohortConfig(cohort=phantoms, cache_gib=2.5 * 24**3 * 4 / 2**30)
    cache = SubjectCache(config, (24, 24, 24))
    for subject in read_cohort(config):
        cache.image(subject)
    assert len(cache._kept) == 2
    assert cache._bytes <= cache.limit_bytes


def test_batches_read_nan_as_the_config_says(tmp_path):
    """The check passes with `nan: zero`, and the training reads NaN all the same."""
    array = np.arange(64, dtype="float32").reshape(4, 4, 4)
    array[0] = np.nan
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    cache = SubjectCache(CohortConfig(images=f"{tmp_path}/*.nii", nan="zero"), (4, 4, 4))
    image = cache.image(read_cohort(CohortConfig(images=f"{tmp_path}/*.nii"))[0])
    assert np.isfinite(image).all()
    assert (image[0] == 0).all()
    assert image.max() == 1


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_fit_to_shape_is_centred(have, want):
    """Padding must not move the centre by more than half a voxel, nor lose what fits."""
    array = np.arange(1, np.prod(have) + 1).reshape(have)
    fitted = fit_to_shape(array, want)
    assert fitted.shape == want
    kept = np.prod([min(h, w) for h, w in zip(have, want, strict=True)])
    assert np.count_nonzero(fitted) == kept
    if all(h <= w for h, w in zip(have, want, strict=True)):
        np.testing.assert_array_equal(fit_to_shape(fitted, have), array)


def test_dice_and_hd95_of_shifted_cubes():
    """Overlap 0.75 and a distance of the shift, in millimetres, by construction."""
    fixed = np.zeros((20, 20, 20), "uint8")
    fixed[4:12, 4:12, 4:12] = 1
    moved = np.roll(fixed, 2, axis=0)
    assert dice_per_label(fixed, moved, 2)[0] == pytest.approx(0.75)
    assert np.isnan(dice_per_label(fixed, moved, 2)[1])
    # Shells 2 voxels apart along an axis of 3 mm.
    assert hd95_per_label(fixed, moved, 1, (3.0, 1.0, 1.0))[0] == pytest.approx(6.0)
    assert hd95_per_label(fixed, fixed, 1, (3.0, 1.0, 1.0))[0] == 0.0
    assert np.isnan(hd95_per_label(fixed, 0 * moved, 1, (1.0, 1.0, 1.0))[0])


def test_regularity_of_translation_and_fold():
    """A translation neither folds nor varies; a reversed axis folds everywhere inside."""
    shift = np.full((6, 6, 6, 3), 2.5, "float32")
    assert regularity(shift, jacobian(shift)) == {"folding_percent": 0.0, "sdlogj": 0.0}
    reversed_axis = np.zeros((6, 6, 6, 3), "float32")
    reversed_axis[..., 0] = -2.0 * np.arange(6).reshape(6, 1, 1)
    assert regularity(reversed_axis, jacobian(reversed_axis))["folding_percent"] == 100.0
