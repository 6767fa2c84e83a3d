"""Figures of fields of view on cases counted by hand."""

from pathlib import Path

import numpy as np
import pytest

from app.systems.fov.axial import AxialStack
from app.systems.fov.cohort import Examination, LabelledStack, with_context
from app.systems.fov.metrics import confusion, non_neighbours, summarise_volumes, volume_row
from nets.classification.volume_decision import Decided, Region

NONE, LEGS, PELVIS, ABDOMEN, CHEST, HEAD, SPINE = range(7)


def decided(*regions):
    return Decided([Region(name, a, b, 0.9, (a - 1, a + 1), (b - 1, b + 1)) for name, a, b in regions], 0.0, 0.0, None)


def stack(classes, spacing=10.0):
    count = len(classes)
    pictures = np.zeros((count, 4, 4), "float32")
    axial = AxialStack(pictures, np.arange(count) * spacing, spacing, np.arange(count), 2, "RAS", [])
    return LabelledStack(Examination("s", Path("s"), "", Path()), axial, None, np.array(classes))


def test_what_does_not_touch():
    """Air touches legs and head; the spine nothing; these confusions are the ones that must not be."""
    truth = np.array([NONE, NONE, NONE, LEGS, LEGS, PELVIS, HEAD, SPINE, ABDOMEN, SPINE])
    found = np.array([LEGS, HEAD, PELVIS, PELVIS, ABDOMEN, PELVIS, NONE, CHEST, SPINE, SPINE])
    assert non_neighbours(truth, found) == 4
    table = confusion(truth, found)
    assert table.sum() == 10
    assert table[LEGS, ABDOMEN] == 1


def test_boundaries_are_compared_where_both_have_them():
    """A boundary at the edge of the field of view is none."""
    truth = [PELVIS] * 5 + [ABDOMEN] * 10 + [CHEST] * 5
    unused = np.zeros(20, int)
    row = volume_row(stack(truth), unused, decided(("pelvis", 0, 7), ("abdomen", 7, 15), ("chest", 15, 20)), unused)
    assert row["boundary_errors_mm"] == [20.0, 0.0]
    assert row["intervals_held"] == [False, True]
    assert volume_row(stack(truth), unused, decided(("abdomen", 0, 20)), unused)["boundary_errors_mm"] == []


def test_a_region_of_which_little_is_shown_may_be_named_or_not():
    """A slice of pelvis at the edge of an abdomen decides nothing; three of them do."""
    for shown, right in ((1, True), (3, False)):
        truth = [PELVIS] * shown + [ABDOMEN] * (20 - shown)
        outcome = decided(("abdomen", 0, 20))
        row = volume_row(stack(truth), np.full(20, ABDOMEN), outcome, np.full(20, ABDOMEN))
        assert row["regions_right"] is right
        assert row["regions_right_strict"] is False
        assert row["decided_wrong"] == shown


def test_ignored_slices_count_nowhere():
    """Slices that nobody knows must not make an error."""
    row = volume_row(stack([-1, -1, HEAD, HEAD]), np.full(4, HEAD), decided(("head", 0, 4)), np.full(4, HEAD))
    assert (row["slices"], row["raw_wrong"], row["decided_wrong"], row["non_neighbours"]) == (2, 0, 0, 0)


def test_a_cohorts_figures():
    """Sums over slices, shares over volumes."""
    rows = [
        volume_row(stack([LEGS] * 10), np.full(10, LEGS), decided(("legs", 0, 10)), np.full(10, LEGS)),
        volume_row(stack([LEGS] * 5 + [PELVIS] * 5), np.full(10, LEGS), decided(("legs", 0, 4), ("pelvis", 4, 10)),
                   np.array([LEGS] * 4 + [PELVIS] * 6)),
    ]  # fmt: skip
    summary = summarise_volumes(rows)
    assert summary["raw_error"] == pytest.approx(0.25)
    assert summary["decided_error"] == pytest.approx(0.05)
    assert summary["regions_right"] == 1.0
    assert summary["boundary_mm_median"] == 10.0
    assert summary["decided_error_95"][0] <= 0.05 <= summary["decided_error_95"][1]


def test_neighbours_are_as_far_in_millimetres_whatever_the_spacing():
    """Three slices of 3 mm and three of 15 mm show another piece of a body."""
    for spacing, step in ((5.0, 3), (15.0, 1), (40.0, 1)):
        pictures = np.broadcast_to(np.arange(20)[:, None, None] / 255.0, (20, 2, 2))
        axial = AxialStack(pictures, np.arange(20) * spacing, spacing, np.arange(20), 2, "RAS", [])
        found = with_context(axial, 1)[:, 0, 0]
        np.testing.assert_array_equal(found[10], [10 - step, 10, 10 + step])
        np.testing.assert_array_equal(found[0], [0, 0, step])
