"""The one examination that every system passes, from the command line."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import yaml

from app.data.read import read_volume

RULE = ("low_percentile", "high_percentile", "background")


@dataclasses.dataclass(frozen=True)
class Examined:
    """A system and what it is examined on.

    Args:
        task: Its name.
        config: Dict of a training of two epochs, without `output`; its `data` may hold a cohort's path.
        item: Image file to predict.
        predict: Function `(run folder, config file, item, folder) -> words` of the command that predicts.
        result: Function `(folder, item) -> file` of the predicted image, or None where there is none.
        figure: Function of `metrics.json` to a number that an evaluation must give again.
    """

    task: str
    config: dict
    item: Path
    predict: object
    result: object
    figure: object


def run_system_test(examined, main, kill_at, tmp_path):
    """Train, kill, resume, evaluate, predict, export, dry-run, and refuse what is wrong.

    Args:
        examined: `Examined`.
        main: Function of a command's words, in this process: exit code and what was printed.
        kill_at: Function of a text and words: the command is run in a process of its own, and killed when it prints it.
        tmp_path: Empty folder.
    """
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump({"task": examined.task, "output": str(run), **examined.config}))
    command = (examined.task, "--config", config)
    _writes_nothing(main, command, run)
    done = main(*command)
    assert done.returncode == 0, done.stderr
    _left_a_run_folder(run, examined.task)
    _resumes(main, kill_at, command, run, tmp_path / "killed")
    _measures_the_same(examined, main, run, tmp_path)
    _predicts(examined, main, run, config, tmp_path)
    _exports(main, run, tmp_path / "served")
    _opens_what_was_written_before(examined, main, run, tmp_path)
    _refuses(examined, main, command, run, tmp_path)


def _writes_nothing(main, command, run):
    done = main(*command, "--dry-run")
    assert done.returncode == 0, done.stderr
    for word in ("parameters", "GiB measured", "s per step", "dry run: nothing was written"):
        assert word in done.stdout
    assert not run.exists()


def _left_a_run_folder(run, task):
    for name in (
        "config.yaml", "environment.json", "log.txt", "split.csv", "history.csv", "metrics.json", "model.keras",
        "model.json", "report.html", "checkpoints/last.keras",
    ):  # fmt: skip
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").rglob("events*"))
    assert list((run / "figures").glob("*.png"))
    contract = json.loads((run / "model.json").read_text(encoding="utf-8"))
    trained = [line.split(",")[1] for line in (run / "split.csv").read_text().splitlines() if line.startswith("train,")]
    assert contract["system"] == task
    assert set(contract["trained_on"]) == set(trained)
    assert set(contract["intensity"]) == set(RULE)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Versions and machine" in page
    assert 'src="http' not in page


def _resumes(main, kill_at, command, run, killed):
    """SIGKILL in the second epoch, before its checkpoint or after it, then the same command: the same weights."""
    again = (*command, "--set", f"output={killed}")
    kill_at("epoch 2/2", *again)
    done = main(*again)
    assert done.returncode == 0, done.stderr
    assert "resuming after epoch 1 of 2" in done.stdout or "training is complete" in done.stdout
    for name in ("model.keras", "checkpoints/last.keras"):
        for ours, theirs in zip(weights(killed / name), weights(run / name), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def weights(file):
    """All arrays of a model file, the optimiser's too."""
    import io

    import h5py

    arrays = []
    with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as stored:
        stored.visititems(lambda _, item: arrays.append(item[()]) if hasattr(item, "shape") else None)
    return arrays


def _measures_the_same(examined, main, run, tmp_path):
    """What a training reports, an evaluation finds again."""
    done = main("evaluate", "--set", f"model={run}", "--set", f"output={tmp_path / 'measured'}")
    assert done.returncode == 0, done.stderr
    before, after = (
        examined.figure(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
        for folder in (run, tmp_path / "measured")
    )
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert (tmp_path / "measured" / "report.html").is_file()


def _predicts(examined, main, run, config, tmp_path):
    """The result lies on the input's own grid."""
    done = main(*examined.predict(run, config, examined.item, tmp_path / "predicted"))
    assert done.returncode == 0, done.stderr
    if examined.result is not None:
        result = read_volume(examined.result(tmp_path / "predicted", examined.item))
        assert result.same_grid(read_volume(examined.item))


def _exports(main, run, to):
    """The export itself compares the answers of a process with TensorFlow alone; no subject's name leaves the house."""
    done = main("export", "--set", f"model={run}", "--set", f"output={to}")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("largest difference ")[1]) < 1e-3
    assert json.loads((to / "1" / "assets.extra" / "model.json").read_text(encoding="utf-8"))["trained_on"] == []


def _opens_what_was_written_before(examined, main, run, tmp_path):
    """Contracts did not name their system, and held the intensity rule flat."""
    contract = json.loads((run / "model.json").read_text(encoding="utf-8"))
    older = {key: value for key, value in contract.items() if key not in ("system", "orientation", "trained_on")}
    older |= older.pop("intensity")
    kept = (run / "model.json").read_text(encoding="utf-8")
    (run / "model.json").write_text(json.dumps(older))
    done = main("evaluate", "--set", f"model={run}", "--set", f"output={tmp_path / 'older'}", "--dry-run")
    (run / "model.json").write_text(kept)
    assert done.returncode == 0, done.stderr


def _refuses(examined, main, command, run, tmp_path):
    """One line, exit code 2, nothing written."""
    new = ("--set", f"output={tmp_path / 'new'}")
    done = main(*command, *new, "--set", "training.epoch=5")
    assert done.returncode == 2
    assert "training.epoch:" in done.stderr
    assert "epochs" in done.stderr, "the nearest key is not named"
    done = main("evaluate", "--set", f"model={run}", "--set", f"output={run}")
    assert done.returncode == 2, "the training's own figures would be overwritten"
    broken = run / "model.keras"
    kept = broken.read_bytes()
    broken.write_bytes(kept[: len(kept) // 2])
    done = main("evaluate", "--set", f"model={run}", *new)
    broken.write_bytes(kept)
    assert done.returncode == 2
    assert "model.keras: no model, or damaged" in done.stderr
    assert not (tmp_path / "new").exists()
    assert "Traceback" not in done.stderr
