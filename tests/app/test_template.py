"""The task `template` from the command line, on simulated kidneys and real hippocampi."""

import dataclasses
import json
import shutil
import tracemalloc
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK
import yaml
from scipy.ndimage import map_coordinates, zoom

from app.config import load_config
from app.data.cube import CubeGrid
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.errors import UserError
from app.systems.masks.cohort import read_cases
from app.systems.opened import open_run
from app.systems.template.config import TemplateConfig
from app.systems.template.file import read_template, template_affine, write_template
from app.systems.template.segment import Segmenter, in_template
from app.systems.template.shape import faults
from app.systems.template.write import to_template
from segmentation.signed_distance import signed_distance
from segmentation.template import Template, labelled
from segmentation.topology import Topology
from tests.contracts import template_contract
from tests.segmentation.shapes import ellipsoid

PLAIN = SimpleNamespace(refinement_steps=0, largest_component=False, surface="none")
SMALL = {
    "data": {"size": 16, "spacing_mm": 14.0, "split": {"train": 0.5, "validate": 0.25, "test": 0.25}},
    "template": {"subjects": 4},
    "network": {"filters": [2, 3, 4]},
    "training": {"epochs": 2, "batch_size": 2, "learning_rate": 5e-3, "validate_every": 1},
}


@pytest.fixture(scope="module")
def config(cohort, tmp_path_factory):
    """Write a small config, with what changes."""
    folder = tmp_path_factory.mktemp("template")

    def write(name, **changes):
        content = {"task": "template", "output": str(folder / name)}
        for key, values in SMALL.items():
            content[key] = {**values, **changes.pop(key, {})}
        content["data"].setdefault("cohort", str(cohort))
        content |= changes
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    write.folder = folder
    return write


@pytest.fixture(scope="module")
def trained(config, main):
    path = config("trained")
    done = main("template", "--config", path)
    assert done.returncode == 0, done.stderr
    return path


def test_train_and_report(trained, config):
    """What is promised stands in the report, and is counted."""
    metrics = json.loads((config.folder / "trained" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["guarantees_broken"] == []
    for population in ("source", "target"):
        assert metrics[population]["template_topology"] == 1
        assert metrics[population]["folding"] == 0
    assert np.shape(metrics["pose"]["correlations"]) == (9, 9)
    assert "Kept: all 4 masks" in (config.folder / "trained" / "report.html").read_text(encoding="utf-8")


def test_predict_with_transform_surface_and_points(trained, config, cohort, main, tmp_path):
    """Mask, transform and surface must tell the same, on the input's own grid, and the user's points be obeyed."""
    image = cohort.parent / "image" / "kidney-adult-000.nii.gz"
    done = main("template", "predict", "--config", trained, "--input", image, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    volume, mask = read_volume(image), read_volume(tmp_path / "out" / "kidney-adult-000_mask.nii.gz")
    assert mask.same_grid(volume)
    assert mask.array.any()
    # ITK warps the template's distances onto the image: what is above 0 is the mask.
    distances = SimpleITK.ReadImage(str(config.folder / "trained" / "template.nii.gz"))
    distances = SimpleITK.Extract(distances, [*distances.GetSize()[:3], 0], [0, 0, 0, 0])
    field = SimpleITK.ReadImage(
        str(tmp_path / "out" / "kidney-adult-000_displacement.nii.gz"), SimpleITK.sitkVectorFloat64
    )
    transform = SimpleITK.DisplacementFieldTransform(field)
    warped = SimpleITK.Resample(distances, SimpleITK.ReadImage(str(image)), transform, SimpleITK.sitkLinear, -100.0)
    again = np.transpose(SimpleITK.GetArrayFromImage(warped), (2, 1, 0)) > 0
    assert 2 * np.sum(again & (mask.array > 0)) / (again.sum() + (mask.array > 0).sum()) > 0.93
    loaded = nibabel.load(tmp_path / "out" / "kidney-adult-000.surf.gii")
    vertices = loaded.agg_data("pointset")
    voxels = np.argwhere(mask.array > 0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert np.abs(vertices.mean(axis=0) - voxels.mean(axis=0)).max() < 7
    inside = voxels.mean(axis=0)
    far = voxels[np.argmax(np.linalg.norm(voxels - inside, axis=1))]
    points = [(*inside, 1), (*(inside + 0.7 * (far - inside)), 0)]
    (tmp_path / "points.csv").write_text("x,y,z,inside\n" + "\n".join(",".join(map(str, point)) for point in points))
    done = main("template", "predict", "--config", trained, "--input", image, "--to", tmp_path / "pointed",
                "--points", tmp_path / "points.csv")  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "pointed" / "kidney-adult-000.json").read_text(encoding="utf-8"))
    assert content["points_met"] == "2 of 2"
    assert content["template_topology"]
    assert content["folding_voxels"] == 0


def test_the_unet_beside_it(config, main):
    """The peer is measured by the same command, and guarantees nothing."""
    path = config("unet", network={"transform": "none"}, largest_component=True)
    done = main("template", "--config", path)
    assert done.returncode == 0, done.stderr
    assert "guarantees nothing" in (config.folder / "unet" / "report.html").read_text(encoding="utf-8")


def test_two_labels_of_real_hippocampi(data_folder, config, main, tmp_path):
    """Real MR, two structures, a template from a file: the same commands."""
    folder = data_folder / "hippocampus_msd"
    names = sorted(path.name for path in (folder / "images").iterdir())[:8]
    rows = [f"{name[:15]},{folder / 'images' / name},{folder / 'labels' / name}" for name in names]
    (tmp_path / "cohort.csv").write_text("subject,image,mask\n" + "\n".join(rows) + "\n")
    data = {"cohort": str(tmp_path / "cohort.csv"), "size": 32, "spacing_mm": 2.0, "labels": [1, 2]}
    path = config("built", data=data)
    built = main("template", "build", "--config", path, "--to", tmp_path / "built")
    assert built.returncode == 0, built.stderr
    template = read_template(tmp_path / "built" / "template.nii.gz", 32, 2.0)
    assert template.distances.shape == (1, 32, 32, 32, 2)
    path = config("hippocampus", data=data, template={"file": str(tmp_path / "built" / "template.nii.gz")})
    done = main("template", "--config", path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((config.folder / "hippocampus" / "metrics.json").read_text(encoding="utf-8"))
    assert len(metrics["template"]) == 3, "each label's topology, and that of both together"


def test_a_set_of_brain_structures(data_folder, config, main, tmp_path):
    """Six structures that lie close together: one template, each structure of one part and of its volume."""
    folder, labels = data_folder / "brains_ixi_2mm", [14, 15, 20, 21, 22, 23]
    names = sorted(path.name for path in (folder / "images").iterdir())[:8]
    rows = [f"{name[:12]},{folder / 'images' / name},{folder / 'labels' / name}" for name in names]
    (tmp_path / "cohort.csv").write_text("subject,image,mask\n" + "\n".join(rows) + "\n")
    data = {"cohort": str(tmp_path / "cohort.csv"), "size": 48, "spacing_mm": 4.0, "labels": labels}
    built = main("template", "build", "--config", config("brain", data=data), "--to", tmp_path / "built")
    assert built.returncode == 0, built.stderr
    template = read_template(tmp_path / "built" / "template.nii.gz", 48, 4.0)
    assert template.topologies()[:6] == (Topology(1, 0, 0),) * 6
    masks = [read_volume(folder / "labels" / name).array for name in names]
    # As it is read, between voxels too: at their middles alone thin structures have more.
    fine = [
        zoom(item, 2, order=1, mode="nearest", grid_mode=True) for item in np.moveaxis(template.distances[0], -1, 0)
    ]
    found = labelled(np.stack(fine, axis=-1), labels)
    for label in labels:
        millilitres = np.sum(found == label) * 2.0**3 / 1000
        true = np.mean([np.sum(mask == label) * 2.0**3 / 1000 for mask in masks])
        assert 0.75 * true < millilitres < 1.25 * true
    # Caudates are thinner than these voxels: their mean falls apart in images that are finer.
    thin = config("caudates", data=data | {"labels": [8, 9, *labels]})
    refused = main("template", "build", "--config", thin, "--to", tmp_path / "refused")
    assert refused.returncode == 2
    assert "as a template label 8 has" in refused.stderr
    assert not (tmp_path / "refused").exists()


def test_a_bank_without_pose(config, cohort, main, tmp_path):
    """What was deformed must be there to be looked at, and points be obeyed where there is a local field alone."""
    path = config("bank", template={"kind": "bank", "members": 2}, network={"transform": "local"}, surface="stl")
    done = main("template", "--config", path, "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("train 8 volumes", "parameters", "GiB measured", "s per step"):
        assert word in done.stdout
    done = main("template", "--config", path)
    assert done.returncode == 0, done.stderr
    image = cohort.parent / "image" / "kidney-child-001.nii.gz"
    volume, truth = read_volume(image), read_volume(cohort.parent / "mask" / "kidney-child-001.nii.gz")
    place = np.argwhere(truth.array > 0).mean(axis=0) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    (tmp_path / "points.csv").write_text("x,y,z,inside\n" + ",".join(map(str, place)) + ",1\n")
    turned = Volume(volume.array[::-1, :, ::2], volume.affine @ np.diag([-1.0, 1, 2, 1]))
    turned.affine[:3, 3] += volume.affine[:3, 0] * (volume.array.shape[0] - 1)
    write_volume(tmp_path / "scan" / "turned.nii.gz", turned)
    done = main("template", "predict", "--config", path, "--input", tmp_path / "scan", "--to", tmp_path / "out",
                "--points", tmp_path / "points.csv")  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out" / "turned.json").read_text(encoding="utf-8"))
    assert content["points_met"] == "1 of 1"
    assert sum(content["template_shares"]) == pytest.approx(1, abs=1e-3)
    assert read_volume(tmp_path / "out" / "turned_mask.nii.gz").same_grid(turned)
    assert read_template(tmp_path / "out" / "turned_template.nii.gz", 16, 14.0).distances.shape[0] == 1
    assert (tmp_path / "out" / "turned.stl").is_file()


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


def _bad_template(kind, folder):
    mask = np.zeros((20, 20, 20), "uint8")
    mask[6:12, 6:12, 6:12] = 1
    if kind == "two parts":
        mask[15:18, 15:18, 15:18] = 1
    if kind == "empty":
        mask[:] = 0
    if kind == "thin":
        mask[:] = 0
        mask[4:16, 8:10, 8] = 1
    if kind == "too large":
        mask[:] = 1
    spacing = 20.0 if kind == "too large" else 7.0
    write_volume(folder / "mask.nii.gz", Volume(mask, np.diag([spacing] * 3 + [1.0])))
    said = {
        "two parts": "2 parts, 0 tunnels, 0 cavities", "empty": "an empty mask is no template", "too large": "the cube",
        "thin": "too thin for a template in voxels of 14 mm",
        "missing": "no such image file",
    }[kind]  # fmt: skip
    return folder / ("none.nii.gz" if kind == "missing" else "mask.nii.gz"), said


@pytest.mark.parametrize("kind", ["two parts", "empty", "thin", "too large", "missing"])
def test_bad_templates_are_told(kind, config, main, tmp_path):
    """What is wrong with a template is wrong with every mask that is made of it."""
    path, said = _bad_template(kind, tmp_path)
    words = ("template", "build", "--config", config("bad", template={"kind": "mask", "mask": str(path)}), "--to")
    done = main(*words, tmp_path / "built")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert str(path) in done.stderr
    assert not (tmp_path / "built").exists()
    if kind == "two parts":
        done = main(*words, tmp_path / "built", "--set", "template.allow_parts=true")
        assert done.returncode == 0, done.stderr


def test_a_template_that_came_from_elsewhere_is_checked(config, main):
    """One that lies in the output folder before the run has begun would be taken without a look."""
    path = config("stale", template={"file": "none.nii.gz"})
    write_template(config.folder / "stale" / "template.nii.gz", Template(np.ones((1, 16, 16, 16, 2)), 14.0, (1, 2)))
    done = main("template", "--config", path)
    assert done.returncode == 2, done.stdout
    assert "none.nii.gz: no template that can be read" in done.stderr


def test_a_learned_template_that_fell_apart_is_told(config):
    """Masks are compared with the template: one of two parts would be kept, and called right."""
    settings = load_config(TemplateConfig, config("learned", template={"kind": "learned"}))
    both = np.maximum(signed_distance(ellipsoid(24, (3,) * 3, centre=(6, 0, 0))),
                      signed_distance(ellipsoid(24, (3,) * 3, centre=(-6, 0, 0))))  # fmt: skip
    template = Template(both[None, ..., None], 4.0, (1,))
    assert "t.nii.gz: as a template label 1 has 2 parts" in faults(template, settings, "t.nii.gz")[0]
    allowed = load_config(TemplateConfig, config("allowed", template={"kind": "learned", "allow_parts": True}))
    assert faults(template, allowed, "t.nii.gz") == []


def test_a_learned_template_that_fell_apart_is_told_again(trained, config, main, tmp_path):
    """Compared with itself a broken template is right: an evaluation would bless what the training called failed."""
    path = config("fell_apart")
    shutil.copytree(config.folder / "trained", config.folder / "fell_apart")
    (config.folder / "fell_apart" / "config.yaml").write_text(
        (config.folder / "trained" / "config.yaml").read_text(encoding="utf-8").replace("trained", "fell_apart")
    )
    both = np.maximum(signed_distance(ellipsoid(16, (2,) * 3, centre=(4, 0, 0))),
                      signed_distance(ellipsoid(16, (2,) * 3, centre=(-4, 0, 0))))  # fmt: skip
    write_template(config.folder / "fell_apart" / "template.nii.gz", Template(both[None, ..., None], 14.0, (1,)))
    done = main("template", "evaluate", "--config", path, "--to", tmp_path / "again")
    assert done.returncode == 2, done.stderr
    assert "template.nii.gz: as a template label 1 has 2 parts" in done.stderr
    assert len(json.loads((tmp_path / "again" / "metrics.json").read_text(encoding="utf-8"))["guarantees_broken"]) >= 1


def test_where_no_share_is_right_the_most_that_does_not_fold_is_taken(trained, config, cohort):
    """In slices too thick for a shape the local field was thrown away, for a topology that is wrong all the same."""
    segment = open_run(config.folder / "trained").predictor(PLAIN)
    volume = read_volume(read_cases(cohort)[0].image)
    whole = segment(volume)
    assert whole.right
    never = dataclasses.replace(segment.contract, topologies=(Topology(7, 0, 0),))
    found = Segmenter(segment.model, never, PLAIN)(volume)
    assert not found.right
    assert found.local_share == 1
    assert np.array_equal(found.mask, whole.mask)


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


def test_a_training_that_diverges_says_so(config, main):
    """NaN in the evidence must not end in an error about eigenvectors."""
    path = config("diverging", training={"learning_rate": 1e30})
    done = main("template", "--config", path)
    assert done.returncode == 2, done.stderr
    assert "the loss became NaN" in done.stderr


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
