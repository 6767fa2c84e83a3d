"""Report of the task `template`: its figures, and what it says of masks that break a guarantee."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.systems.masks.cohort import Case
from app.systems.template.report import broken_guarantees, measure, pose_figures
from segmentation.topology import Topology
from tests.contracts import template_contract


def test_a_damaged_volume_is_named(tmp_path):
    """In a cohort of hundreds 'a voxel is NaN' says nothing."""
    write_volume(tmp_path / "bad.nii.gz", Volume(np.full((8, 8, 8), np.nan, "float32"), np.eye(4)))
    write_volume(tmp_path / "mask.nii.gz", Volume(np.ones((8, 8, 8), "uint8"), np.eye(4)))
    case = Case("a", tmp_path / "bad.nii.gz", tmp_path / "mask.nii.gz", "source")
    segment = SimpleNamespace(contract=template_contract(), config=SimpleNamespace(structures=None))
    with pytest.raises(UserError, match="bad.nii.gz: 512 voxels are NaN"):
        measure(segment, [case])


def test_all_together_count_where_they_are_one_whole():
    """A crack between neighbours tears what is whole; gaps that are there open and close with the size of voxels."""
    whole, torn = Topology(1, 0, 0), Topology(1, 1, 0)
    touching = template_contract("local", labels=(1, 2))
    assert touching.has_topology((whole, whole, whole))
    assert not touching.has_topology((whole, whole, torn))
    apart = dataclasses.replace(touching, topologies=(whole, whole, torn))
    assert apart.has_topology((whole, whole, whole))
    assert not apart.has_topology((torn, whole, torn))
    alone = dataclasses.replace(touching, labels=(1,), topologies=(torn,))
    assert alone.has_topology((torn,))
    assert not alone.has_topology((whole,))


def test_what_is_broken_is_told():
    """A report that overlooks a torn or folded mask guarantees nothing."""
    rows = [
        {"subject": "a", "template_topology": True, "folding_voxels": 0},
        {"subject": "b", "template_topology": False, "folding_voxels": 3},
    ]
    contract = template_contract("global_local")
    broken = broken_guarantees(rows, contract)
    assert len(broken) == 2
    assert "1 of 2 masks have another topology than the template: b" in broken[0]
    assert "1 of 2 transforms fold: b" in broken[1]
    assert broken_guarantees(rows[:1], contract) == []


def test_pose_figures_by_hand():
    """A collapsed scale must show."""
    rng = np.random.default_rng(0)
    poses = rng.normal(size=(50, 9))
    poses[:, 6:] = [2.0, 1.0, 1.0]
    poses[:, 1] = -2 * poses[:, 0]
    found = pose_figures(poses)
    assert found["median_det"] == pytest.approx(0.5)
    assert found["correlations"][0][1] == pytest.approx(-1)
    assert found["largest_correlation"] == pytest.approx(1)
