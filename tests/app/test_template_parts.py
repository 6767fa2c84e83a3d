"""Parts of the task `template`: its file, its grid, memory, surfaces."""

import tracemalloc
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from app.data.cube import CubeGrid
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.systems.masks.cohort import read_cases
from app.systems.template.file import read_template, template_affine, write_template
from app.systems.template.segment import Segmenter, in_template
from app.systems.template.write import to_template
from segmentation.template import Template
from tests.app.template_cases import PLAIN
from tests.contracts import template_contract
from tests.segmentation.shapes import ellipsoid


def test_templates_survive_their_file(tmp_path):
    """A template that comes back scaled or transposed fits nobody."""
    rng = np.random.default_rng(0)
    template = Template(rng.normal(size=(2, 8, 8, 8, 3)).astype("float32"), 2.5, (1, 4, 7))
    write_template(tmp_path / "t.nii.gz", template)
    again = read_template(tmp_path / "t.nii.gz", 8, 2.5)
    assert np.allclose(again.distances, template.distances, atol=1e-5)
    assert again.labels == template.labels
    image = nibabel.load(tmp_path / "t.nii.gz")
    assert np.allclose(image.affine @ [3.5, 3.5, 3.5, 1], [0, 0, 0, 1])
    with pytest.raises(UserError, match="on a grid of 8 voxels of 2.5 mm"):
        read_template(tmp_path / "t.nii.gz", 16, 2.5)
    write_volume(tmp_path / "mask.nii.gz", Volume(np.ones((8, 8, 8), "uint8"), np.eye(4)))
    for path in (tmp_path / "mask.nii.gz", tmp_path / "none.nii.gz"):
        with pytest.raises(UserError, match="no template that can be read"):
            read_template(path, 8, 1.0)


def test_a_whole_ct_fits_in_memory():
    """Places of each voxel in 64 bits, several times over, killed predictions of ordinary scans without a line."""
    shape = (96, 80, 64)
    volume = Volume(np.zeros(shape, "float32"), np.diag([1.0, 1.0, 1.5, 1.0]))
    grid = CubeGrid(16, np.diag([8.0, 8.0, 8.0, 1.0]))
    field = np.random.default_rng(0).normal(size=(16, 16, 16, 3)).astype("float32")
    contract = template_contract("local", spacing_mm=8.0)
    tracemalloc.start()
    reached = in_template(field, grid, volume)
    vectors = to_template(SimpleNamespace(reached=reached), volume, contract)
    peak = tracemalloc.get_traced_memory()[1] / np.prod(shape)
    tracemalloc.stop()
    assert peak < 45, peak
    place = np.array([70, 30, 50])
    on_cube = np.linalg.inv(grid.affine) @ volume.affine @ [*place, 1]
    led = on_cube[:3] + [
        map_coordinates(field[..., axis], on_cube[:3, None], order=1, mode="nearest")[0] for axis in range(3)
    ]
    assert reached[tuple(place)] == pytest.approx(led, abs=1e-4)
    world = template_affine(16, 8.0) @ [*led, 1]
    assert volume.affine @ [*(place + vectors[tuple(place)]), 1] == pytest.approx(world, abs=1e-3)


def test_a_unets_surface_is_that_of_its_mask():
    """A stray patch that the mask leaves out would come back in the surface."""

    class TwoBalls:
        def predict_on_batch(self, inputs):
            balls = ellipsoid(16, (4,) * 3, centre=(3, 0, 0)) | ellipsoid(16, (2,) * 3, centre=(-5, 0, 0))
            return np.where(balls, 5.0, -5.0)[None, ..., None].astype("float32")

    contract = template_contract()
    volume = Volume(np.random.default_rng(0).random((16,) * 3), np.diag([4.0, 4.0, 4.0, 1.0]))
    for largest in (False, True):
        settings = SimpleNamespace(**{**vars(PLAIN), "largest_component": largest})
        found = Segmenter(TwoBalls(), contract, settings)(volume)
        assert np.array_equal(found.distances[..., 0] > 0, found.mask == 1)
        assert found.topologies[0].components == 2 - largest


def test_the_template_grid():
    """Its middle is 0 mm, so that poses are about the middle of the shape."""
    assert np.allclose(template_affine(5, 2.0) @ [2, 2, 2, 1], [0, 0, 0, 1])


def test_cohorts_may_lack_populations(tmp_path):
    """One population is the usual case."""
    (tmp_path / "c.csv").write_text("subject,image,mask\na,b.nii,c.nii\n")
    assert read_cases(tmp_path / "c.csv")[0].population == "source"
    (tmp_path / "c.csv").write_text("subject,image,mask,population\na,b.nii,c.nii\nd,e.nii,f.nii,adults\n")
    with pytest.raises(UserError, match="population '' is unknown.*\n.*population 'adults' is unknown"):
        read_cases(tmp_path / "c.csv")
