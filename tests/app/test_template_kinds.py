"""Other templates from the command line: real structures, banks, and the U-Net beside them."""

import json

import numpy as np
import pytest
from scipy.ndimage import zoom

from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from app.systems.template.file import read_template
from segmentation.template import labelled
from segmentation.topology import Topology
from tests.app.template_cases import config_writer


@pytest.fixture(scope="module")
def config(cohort, tmp_path_factory):
    """Write a small config, with what changes."""
    return config_writer(cohort, tmp_path_factory.mktemp("template"))


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
