"""Parts of the task `kidney`: phantoms, figures, batches, the largest part."""

import numpy as np
import pytest

from app.data.phantoms.config import KidneysConfig
from app.data.phantoms.kidney_anatomy import FITTED, draw_shape
from app.data.phantoms.kidneys import KidneyScan
from app.data.volume import Volume
from app.reporting.overlap import surface_dice
from app.systems.kidney.network import segment
from app.systems.masks.batches import CubeBatches
from app.systems.masks.cohort import Case, CubeCase
from app.systems.masks.config import CubeAugmentationConfig
from app.systems.masks.metrics import case_row, paired, summarise
from tests.contracts import kidney_contract


def test_simulated_kidneys_are_like_the_real_ones():
    """Lengths and ratios that no kidney has would make every figure worthless."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(-80, 81, 3.0)] * 3, indexing="ij"), axis=-1)
    ratios, volumes = [], []
    for _ in range(12):
        shape = draw_shape(rng, 55.0)
        inside = grid[shape.level(grid) > 0]
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(inside.T)))[::-1]
        ratios.append(spread[1:] / spread[0])
        volumes.append(len(inside) * 27 / 1000)
    # The four whole kidneys of the label maps: 0.52 to 0.55 and 0.38 to 0.46; 137 to 193 ml at 107 to 120 mm.
    assert np.all(np.abs(np.mean(ratios, axis=0) - [0.54, 0.43]) < [0.06, 0.06])
    assert 100 < np.mean(volumes) < 210
    assert set(FITTED) == set(vars(draw_shape(rng, 55.0))) - {"half_length"}


def test_the_two_populations_differ():
    """Nothing to transfer where they do not."""
    config = KidneysConfig(detail_mm=6.0)
    found = {}
    for kind in ("adults", "children"):
        scans = [KidneyScan(config, kind, number) for number in range(12)]
        pairs = [scan.volumes() for scan in scans]
        millilitres = [mask.array.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000 for _, mask in pairs]
        brightness = [image.array[image.array > 0].mean() for image, _ in pairs]
        found[kind] = np.mean(millilitres), np.mean(brightness), sum(scan.kidney.dilation > 0 for scan in scans)
        for image, mask in pairs:
            assert image.array.dtype == "uint8"
            assert mask.array.max() == 1
            assert np.all(image.array[mask.array > 0] > 0), "a mask outside of the sector"
    assert found["children"][0] < 0.75 * found["adults"][0]
    assert found["children"][1] > found["adults"][1] + 8
    assert found["adults"][2] == 0 < found["children"][2]


def test_figures_by_hand():
    """A cube moved by a voxel: counted on paper."""
    truth = np.zeros((20, 20, 20), bool)
    truth[5:15, 5:15, 5:15] = True
    found = np.roll(truth, 1, axis=0)
    case = type("Case", (), {"subject": "s", "population": "target", "image": "s.nii"})
    row = case_row(case, found, truth, np.diag([2.0, 2.0, 2.0, 1.0]))
    assert row["dice"] == pytest.approx(0.9)
    assert row["volume_ml"] == pytest.approx(8.0)
    assert row["hd95_mm"] == pytest.approx(2.0)
    assert row["surface_dice"] == 1.0
    assert surface_dice(truth, found, (2.0, 2.0, 2.0), 1.0) < 1.0
    assert surface_dice(truth, np.zeros_like(truth), (2.0, 2.0, 2.0), 1.0) == 0.0
    worse = {**row, "dice": 0.5, "volume_error_ml": -4.0}
    summary = summarise([row, worse])["target"]
    assert summary["dice"] == pytest.approx(0.7)
    assert summary["volume_error_ml"] == pytest.approx(2.0)
    test = paired([worse] * 8, [row] * 8)["target"]
    assert (test["better"], test["worse"]) == (8, 0)
    assert test["p"] < 0.01


class _Bright:
    """A network that finds what is bright."""

    def predict_on_batch(self, inputs):
        return 20.0 * inputs["image"] - 10.0


def test_the_largest_part_alone_where_wanted():
    """A stray patch must go when the user says so, and stay, and be counted, when not."""
    array = np.full((16, 16, 16), 0.1, "float32")
    array[2:8, 2:8, 2:8] = array[11:14, 11:14, 11:14] = 1.0
    volume, contract = Volume(array, np.diag([2.0, 2.0, 2.0, 1.0])), kidney_contract(spacing_mm=2.0)
    both, single = (segment(_Bright(), contract, volume, largest) for largest in (False, True))
    assert (both.components, single.components) == (2, 1)
    assert both.mask.sum() == 6**3 + 3**3
    assert single.mask.sum() == 6**3
    assert single.volume_ml == pytest.approx(6**3 * 8 / 1000)


def test_the_smaller_population_is_drawn_as_often():
    """Ten adults to each child would train a network for adults."""
    image = np.zeros((8, 8, 8))
    cases = [CubeCase(Case(f"s{index}", None, None, population), None, image + value, image[..., None])
             for index, (population, value) in enumerate([("source", 0.2)] * 9 + [("target", 0.8)] * 2)]  # fmt: skip
    still = CubeAugmentationConfig(noise=0, translation_vox=0, rotation_radians=0, scaling=0)
    batches = CubeBatches(cases, 2, 0, still)
    drawn = np.concatenate([batches[step][0]["image"].mean(axis=(1, 2, 3, 4)) for step in range(len(batches))])
    assert len(drawn) == 18
    assert np.sum(drawn > 0.5) == 9
    again = CubeBatches(cases, 2, 0, still, first_epoch=1)
    batches.on_epoch_end()
    np.testing.assert_array_equal(batches[3][0]["image"], again[3][0]["image"], "a resumed training sees others")
