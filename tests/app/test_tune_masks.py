"""The tasks of masks, searched: `kidney` and `template`."""

import csv

import pytest
import yaml

SPACES = {
    "kidney": {"training.learning_rate": {"choices": [1e-3, 3e-3]}},
    "template": {"network.local_weight": {"choices": [0.01, 0.1]}},
}


@pytest.fixture
def config(cohort, tmp_path):
    """Write a config of a small search: `(task, **other) -> path`."""

    def write(task, space=None, validate=2, **other):
        values = {
            "task": task,
            "output": str(tmp_path / task),
            "data": {
                "cohort": str(cohort), "size": 16, "spacing_mm": 14.0,
                "split": {"train": 4, "validate": validate, "test": 2},
            },
            "network": {"filters": [2, 3]},
            "training": {"epochs": 1, "batch_size": 2},
            "search": {"method": "random", "trials": 2, "space": space or SPACES[task]},
            **other,
        }  # fmt: skip
        path = tmp_path / f"{task}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


@pytest.mark.parametrize("task", SPACES)
def test_masks_can_be_searched(task, config, main, tmp_path):
    """A learning rate for one's own organ, without a loop in the shell; the best config trains as it is."""
    extra = {"template": {"subjects": 3, "allow_parts": True}} if task == "template" else {}
    path = config(task, **extra)
    assert main("tune", "--config", path, "--dry-run").returncode == 0
    done = main("tune", "--config", path)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / task / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    (key,) = SPACES[task]
    assert {float(row[key]) for row in rows} == set(SPACES[task][key]["choices"])
    assert all(row["status"] == "COMPLETED" and 0 <= float(row["objective"]) <= 1 for row in rows)
    done = main(task, "--config", tmp_path / task / "best.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_searched(config, main, tmp_path):
    """Each would end in trials that fail, or in a search that changes nothing."""
    for task, options, message in (
        ("kidney", {"space": {"strategy": {"choices": ["source", "joint"]}}}, "'strategy' cannot be searched"),
        ("kidney", {"strategy": "statistics", "source": "there", "network": None}, "trains nothing"),
        ("kidney", {"validate": 0}, "validation_dice needs validation volumes (data.split.validate)"),
        ("template", {"space": {"template.kind": {"choices": ["mean", "bank"]}}}, "'template' cannot be searched"),
        ("template", {"space": {"refinement_steps": {"low": 0, "high": 9}}}, "'refinement_steps' cannot be searched"),
    ):
        done = main("tune", "--config", config(task, **options))
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
        assert not (tmp_path / task).exists()
