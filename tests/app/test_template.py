"""The task `template` from the command line, on simulated kidneys and real hippocampi."""

import dataclasses
import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK

from app.config import load_config
from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.systems.masks.cohort import read_cases
from app.systems.opened import open_run
from app.systems.template.config import TemplateConfig
from app.systems.template.file import write_template
from app.systems.template.segment import Segmenter
from app.systems.template.shape import faults
from segmentation.signed_distance import signed_distance
from segmentation.template import Template
from segmentation.topology import Topology
from tests.app.template_cases import PLAIN, config_writer
from tests.segmentation.shapes import ellipsoid


@pytest.fixture(scope="module")
def config(cohort, tmp_path_factory):
    """Write a small config, with what changes."""
    return config_writer(cohort, tmp_path_factory.mktemp("template"))


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


def test_a_training_that_diverges_says_so(config, main):
    """NaN in the evidence must not end in an error about eigenvectors."""
    path = config("diverging", training={"learning_rate": 1e30})
    done = main("template", "--config", path)
    assert done.returncode == 2, done.stderr
    assert "the loss became NaN" in done.stderr
