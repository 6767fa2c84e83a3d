"""Every system passes the same examination."""

import pytest

from app.data.phantoms.bodies import write_bodies
from app.data.phantoms.config import BodiesConfig
from app.systems import SYSTEMS
from tests.systems.examination import Examined, run_system_test


def by_task(task):
    """Words of the command that predicts, of most tasks."""
    return lambda run, config, item, to: (task, "predict", "--config", config, "--input", item, "--to", to)


def registered(run, config, item, to):
    """Words of a registration."""
    pair = [f"moving={item.with_name('phantom-001.nii.gz')}", f"fixed={item}", f"model={run}", f"output={to}"]
    return ("register", *(word for value in pair for word in ("--set", value)))


def mask(folder, item):
    """The mask of an image."""
    return folder / item.name.replace(".nii.gz", "_mask.nii.gz")


def mean_dice(metrics):
    """Of all populations."""
    return [metrics[name]["dice"] for name in ("source", "target")]


CUBES = {"size": 16, "spacing_mm": 14.0, "split": {"train": 0.5, "validate": 0.25, "test": 0.25}}
SHORT = {"epochs": 2, "batch_size": 2, "validate_every": 1}


@pytest.fixture
def examined(phantoms, cohort, tmp_path_factory):
    """What a task is examined on."""

    def hypermorph():
        config = {
            "data": {"cohort": str(phantoms), "split": {"train": 4, "validate": 2, "test": 2}, "pairs": 2},
            "network": {"features": "images", "encoder": [4, 4], "decoder": [4, 4], "final": [4], "units": 8},
            "training": {"epochs": 2, "steps": 4, "validate_every": 2, "validate_pairs": 1},
            "evaluation": {"values": 2},
        }
        image = phantoms.parent / "image" / "phantom-000.nii.gz"
        return Examined(
            "hypermorph", config, image, registered, lambda folder, _: folder / "moved.nii.gz",
            lambda metrics: metrics["at_best"]["dice"],
        )  # fmt: skip

    def fov():
        bodies = write_bodies(tmp_path_factory.mktemp("bodies"), BodiesConfig(subjects=8, matrix=32))
        config = {
            "data": {"cohort": str(bodies), "size": 32, "context": 1},
            "network": {"blocks": 3, "filters": 8, "head": "pool"},
            "training": {"epochs": 2, "slices": 320, "batch_size": 32, "optimizer": "adam", "learning_rate": 5e-3},
        }
        image = next((bodies.parent / "image").glob("*.nii.gz"))
        return Examined("fov", config, image, by_task("fov"), None, lambda metrics: metrics["decided_error"])

    def kidney():
        config = {
            "data": {**CUBES, "cohort": str(cohort)},
            "network": {"filters": [2, 3, 4], "batch_normalisation": True},
            "training": {**SHORT, "learning_rate": 1e-2},
        }
        return Examined("kidney", config, _kidney(cohort), by_task("kidney"), mask, mean_dice)

    def template():
        config = {
            "data": {**CUBES, "cohort": str(cohort)},
            "template": {"subjects": 4, "kind": "learned"},
            "network": {"filters": [2, 3, 4], "batch_normalisation": False},
            "training": {**SHORT, "learning_rate": 5e-3},
        }
        return Examined("template", config, _kidney(cohort), by_task("template"), mask, mean_dice)

    return lambda task: {"hypermorph": hypermorph, "fov": fov, "kidney": kidney, "template": template}[task]()


def _kidney(cohort):
    return cohort.parent / "image" / "kidney-adult-000.nii.gz"


@pytest.mark.parametrize("task", list(SYSTEMS))
def test_a_system(task, examined, main, kill_at, tmp_path):
    """A step that one system does otherwise than the others is a step that nobody expects."""
    run_system_test(examined(task), main, kill_at, tmp_path)
