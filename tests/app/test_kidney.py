"""The task `kidney` from the command line, its cubes, phantoms and figures."""

import json

import nibabel
import numpy as np
import pytest
import yaml

from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from tests.app.test_cube import rotated

SMALL = {
    "data": {"size": 16, "spacing_mm": 14.0, "split": {"train": 0.5, "validate": 0.25, "test": 0.25}},
    "network": {"filters": [2, 3, 4], "batch_normalisation": True},
    "training": {"epochs": 2, "batch_size": 2, "learning_rate": 1e-2, "validate_every": 1},
}


@pytest.fixture(scope="module")
def config(cohort, tmp_path_factory):
    """Write a small config, with what changes."""
    folder = tmp_path_factory.mktemp("kidney")

    def write(name, **changes):
        content = {"task": "kidney", "output": str(folder / name), **SMALL, **changes}
        if "source" in changes:
            del content["network"]
        content["data"] = {**SMALL["data"], "cohort": str(cohort), **changes.get("data", {})}
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    write.folder = folder
    return write


def test_a_dry_run_tells_size_memory_and_time(config, main):
    """Who has to wait wants to know for how long; simulated volumes are not made for it."""
    for name, data in (("dry", {}), ("simulated", {"cohort": None, "phantom": {"adults": 12, "children": 8}})):
        done = main("kidney", "--config", config(name, data=data), "--dry-run")
        assert done.returncode == 0, done.stderr
        for word in ("parameters", "GiB measured", "s per step", "nothing was written"):
            assert word in done.stdout
        assert not (config.folder / name).exists()


@pytest.fixture(scope="module")
def source(config, main):
    done = main("kidney", "--config", config("source"))
    assert done.returncode == 0, done.stderr
    return config.folder / "source"


def test_train_transfer_evaluate_predict_export(source, config, cohort, main, tmp_path):
    """The whole way, as the documentation tells it."""
    assert (source / "report.html").is_file()
    assert "Simulated" not in (source / "report.html").read_text(encoding="utf-8"), (
        "a user's own cohort is not simulated"
    )
    metrics = json.loads((source / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["source"]["volumes"] == metrics["target"]["volumes"] == 2
    adapted = config("gated", strategy="gated", source=str(source))
    done = main("kidney", "transfer", "--config", adapted)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((config.folder / "gated" / "metrics.json").read_text(encoding="utf-8"))
    for part in ("before", "gain"):
        assert set(metrics[part]) == {"source", "target"}
    assert metrics["source"]["volumes"] == 2, "figures of the source population, not of the source network"
    volume = read_volume(cohort.parent / "image" / "kidney-child-000.nii.gz")
    turned = Volume(np.asarray(volume.array, "int16"), rotated(volume.affine, 20))
    write_volume(tmp_path / "scans" / "turned.mha", turned)
    write_volume(tmp_path / "scans" / "child.nii.gz", volume)
    done = main("kidney", "predict", "--config", adapted, "--input", tmp_path / "scans", "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for name, like in (("child", volume), ("turned", turned)):
        mask = read_volume(tmp_path / "out" / f"{name}_mask.nii.gz")
        assert mask.same_grid(like)
        content = json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
        voxel = abs(np.linalg.det(like.affine[:3, :3])) / 1000
        assert content["volume_ml"] == pytest.approx(mask.array.sum() * voxel, abs=1e-3)
        assert 0 <= content["target_probability"] <= 1
        opened = content["target_probability"] > 0.5
        assert len(content["pose"] or ()) == 9 * opened, "a pose is told that was not applied"
    done = main("kidney", "evaluate", "--config", adapted, "--to", tmp_path / "evaluated")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "evaluated" / "metrics.json").read_text(encoding="utf-8"))
    assert again["target"]["dice"] == pytest.approx(metrics["target"]["dice"])
    done = main("kidney", "export", "--config", adapted, "--to", tmp_path / "served")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "served" / "1" / "saved_model.pb").is_file()


def test_a_dicom_series_is_segmented_as_its_nifti(source, data_folder, main, config, tmp_path):
    """A scanner's files, turned or mirrored on the way to the cube, would give another mask than their conversion."""
    folder = data_folder / "body_region" / "prostatex_pelvis"
    nifti, series = folder / "px0000_adc_tra.nii.gz", folder / "dicom_adc_px0000"
    path = config.folder / "source.yaml"
    done = main("kidney", "predict", "--config", path, "--input", nifti, series, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    masks = [read_volume(tmp_path / "out" / f"{name}_mask.nii.gz") for name in ("px0000_adc_tra", series.name)]
    assert masks[1].same_grid(read_volume(nifti))
    assert masks[0].array.any()
    assert np.array_equal(masks[0].array, masks[1].array)
    assert json.loads((tmp_path / "out" / f"{series.name}.json").read_text(encoding="utf-8"))["volume_ml"] > 0


@pytest.mark.parametrize("strategy", ["statistics", "fixed_convolutions"])
def test_other_strategies_run(strategy, source, config, main):
    """Each is a row of the thesis' table."""
    done = main("kidney", "transfer", "--config", config(strategy, strategy=strategy, source=str(source)))
    assert done.returncode == 0, done.stderr


def test_a_killed_transfer_ends_the_same(source, config, main, kill_at):
    """Weights after a kill must be those of an uninterrupted run: pose and scaling are of the first start."""
    from app.training.checkpoint import load_checkpoint

    weights = []
    for name in ("whole", "killed"):
        path = config(name, strategy="geometric_intensity", source=str(source))
        if name == "killed":
            kill_at("epoch 2/2", "kidney", "transfer", "--config", path)
        done = main("kidney", "transfer", "--config", path)
        assert done.returncode == 0, done.stderr
        taken_up = "resuming after epoch 1" in done.stdout or "training is complete" in done.stdout
        assert taken_up == (name == "killed")
        weights.append(load_checkpoint(config.folder / name / "model.keras").get_weights())
    for weight, other in zip(*weights, strict=True):
        assert np.array_equal(weight, other)


def _broken(kind, folder, cohort):
    """A cohort with one thing wrong, and what must be said of it."""
    base = cohort.parent
    image = read_volume(base / "image" / "kidney-child-000.nii.gz")
    mask = read_volume(base / "mask" / "kidney-child-000.nii.gz")
    said = {
        "empty mask": "nothing is marked", "other values": "data.labels", "another grid": "onto the image's grid",
        "NaN": "NaN or infinite", "one slice": "three axes", "too large": "the cube holds",
        "population": "population 'kids' is unknown",
    }[kind]  # fmt: skip
    if kind == "empty mask":
        mask = Volume(0 * mask.array, mask.affine)
    if kind == "other values":
        mask = Volume(3 * mask.array, mask.affine)
    if kind == "another grid":
        mask = Volume(mask.array[1:], mask.affine)
    if kind == "one slice":
        image, mask = Volume(image.array[:, :, :1], image.affine), Volume(mask.array[:, :, :1], mask.affine)
    if kind == "NaN":
        image = Volume(np.where(mask.array > 0, np.nan, image.array).astype("float32"), image.affine)
    if kind == "too large":
        scale = np.diag([3.0, 3.0, 3.0, 1.0])
        image, mask = Volume(image.array, image.affine @ scale), Volume(mask.array, mask.affine @ scale)
    write_volume(folder / "image.nii.gz", image)
    write_volume(folder / "mask.nii.gz", mask)
    rows = [f"s{number},image.nii.gz,mask.nii.gz,{'kids' if kind == 'population' else 'source'}" for number in range(4)]
    (folder / "cohort.csv").write_text("subject,image,mask,population\n" + "\n".join(rows) + "\n")
    return folder / "cohort.csv", said


@pytest.mark.parametrize(
    "kind", ["empty mask", "other values", "another grid", "NaN", "one slice", "too large", "population"]
)
def test_bad_cohorts_are_told(kind, config, cohort, main, tmp_path):
    """One clear line, exit code 2, and nothing half-written."""
    path, said = _broken(kind, tmp_path, cohort)
    done = main("kidney", "--config", config(f"bad_{kind[:3]}", data={"cohort": str(path)}))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (config.folder / f"bad_{kind[:3]}").exists()


@pytest.fixture
def partly_tuned(source, config, main):
    path = config("last_layers", strategy="last_layers", layers=2, source=str(source))
    done = main("kidney", "transfer", "--config", path)
    assert done.returncode == 0, done.stderr
    return config.folder / "last_layers"


def test_what_a_source_cannot_give_is_refused(source, partly_tuned, config, main):
    """Maps of another size would mean something else; and nothing may stay behind."""
    path = config("other", strategy="geometric", source=str(source), data={"size": 24})
    done = main("kidney", "transfer", "--config", path)
    assert done.returncode == 2
    assert "data.size=16" in done.stderr
    assert not (config.folder / "other").exists(), "the corrected command would be told of another run"
    for name, changes, said in (
        ("layers", {"strategy": "first_layers", "layers": 99}, "from 1 to"),
        ("twice", {"strategy": "geometric", "source": str(partly_tuned)}, "holds an adapted network"),
        ("network", {"strategy": "geometric", "network": {"filters": [4, 8]}}, "remove the key"),
    ):
        path = config(name, **{"source": str(source), **changes})
        if name == "network":
            path.write_text(path.read_text(encoding="utf-8") + "network: {filters: [4, 8]}\n")
        done = main("kidney", "transfer", "--config", path)
        assert done.returncode == 2
        assert said in done.stderr
        assert not (config.folder / name).exists()
    done = main("kidney", "transfer", "--config", config("again", strategy="geometric", source=str(source)),
                "--set", "seed=1")  # fmt: skip
    assert done.returncode == 2
    assert "was trained on" in done.stderr


@pytest.mark.parametrize("kind", ["hippocampus", "ultrasound"])
def test_other_organs_train_and_predict(kind, data_folder, config, main, tmp_path):
    """Real MR with two labels, and prostate ultrasound of its own spacing: no other command, no other code."""
    rows, data = [], {"size": 32, "spacing_mm": 2.0, "labels": [1, 2]}
    if kind == "hippocampus":
        folder = data_folder / "hippocampus_msd"
        for name in sorted(path.name for path in (folder / "images").iterdir())[:8]:
            rows.append((name, folder / "images" / name, folder / "labels" / name))
    else:
        folder, data = data_folder / "ultrasound3d" / "deepreg_mr_trus", {"size": 32, "spacing_mm": 0.8}
        for path in sorted((folder / "fixed_images").iterdir())[:8]:
            labels = nibabel.load(folder / "fixed_labels" / path.name)
            gland = np.asarray(labels.dataobj)
            gland = ((gland if gland.ndim == 3 else gland[..., 0]) > 0.5).astype("uint8")
            write_volume(tmp_path / "mask" / path.name, Volume(gland, labels.affine))
            rows.append((path.name, path, tmp_path / "mask" / path.name))
    lines = [",".join(map(str, row)) for row in rows]
    (tmp_path / "cohort.csv").write_text("subject,image,mask\n" + "\n".join(lines) + "\n")
    path = config(kind, data={**data, "cohort": str(tmp_path / "cohort.csv")})
    done = main("kidney", "--config", path)
    assert done.returncode == 0, done.stderr
    done = main("kidney", "predict", "--config", path, "--input", rows[0][1], "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    mask = next((tmp_path / "out").glob("*_mask.nii.gz"))
    assert read_volume(mask).same_grid(read_volume(rows[0][1]))
