"""Manifests of pairs: registered on several processes, killed and resumed, measured, compared; what is refused."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.app.processes import children_of, wait_for_the_end_of
from tests.app.refusals import assert_refused

ROOT = Path(__file__).resolve().parents[2]


def words(task, **values):
    return [task, *(word for key, value in values.items() for word in ("--set", f"{key}={value}"))]


def write_manifest(path, phantoms, pairs, **columns):
    """Pairs of simulated brains with their labels."""
    rows = [["moving", "fixed", "moving_labels", "fixed_labels", *columns]]
    for place, (moving, fixed) in enumerate(pairs):
        names = [f"phantom-00{number}.nii.gz" for number in (moving, fixed)]
        files = [phantoms.parent / kind / name for kind in ("image", "labels") for name in names]
        rows.append([*map(str, files), *(values[place] for values in columns.values())])
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def manifest(phantoms, tmp_path_factory):
    return write_manifest(tmp_path_factory.mktemp("manifest") / "pairs.csv", phantoms, [(0, 1), (2, 3), (4, 5)])


@pytest.fixture(scope="module")
def registered(main, manifest, tmp_path_factory):
    output = tmp_path_factory.mktemp("registered") / "out"
    done = main(
        *words("register", pairs=manifest, output=output, preset="fast", affine="none", **{"cluster.workers": 2})
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output


@pytest.fixture(scope="module")
def evaluated(main, registered, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluated") / "out"
    done = main(*words("evaluate", pairs=registered / "pairs.csv", output=output, learn2reg="true"))
    assert done.returncode == 0, done.stdout + done.stderr
    return output


def test_what_register_leaves(registered):
    """A folder per pair, and a manifest that leads on to `evaluate` and `apply`."""
    rows = table(registered / "pairs.csv")
    assert [row["pair"] for row in rows] == [f"phantom-00{n}_to_phantom-00{n + 1}" for n in (0, 2, 4)]
    for row in rows:
        assert (registered / row["transforms"]).is_file()
        assert float(row["mean_dice"]) > float(row["mean_dice_before"])
        assert (registered / row["moving"]).resolve().is_file()
    assert (registered / "report.html").is_file()
    assert json.loads((registered / "metrics.json").read_text())["pairs"] == 3


def test_evaluate_measures_what_register_did(registered, evaluated):
    """The warp alone, read from its file, gives the Dice that `register` measured in memory."""
    measured = {row["pair"]: row for row in table(evaluated / "pairs.csv")}
    for row in table(registered / "pairs.csv"):
        own = measured[row["pair"]]
        assert float(own["dice"]) == pytest.approx(float(row["mean_dice"]), abs=0.005)
        assert float(own["dice_before"]) == pytest.approx(float(row["mean_dice_before"]), abs=1e-6)
        assert float(own["l2r_dice"]) == pytest.approx(float(own["dice"]), abs=0.01)
        assert 0 < float(own["surface_dice"]) <= 1
        assert float(own["seconds"]) > 0
    means = json.loads((evaluated / "metrics.json").read_text())["means"]
    assert means["dice"]["low"] <= means["dice"]["mean"] <= means["dice"]["high"]
    for name in ("pair_worst", "pair_median", "pair_best"):
        assert (evaluated / "figures" / f"{name}.png").is_file()


def test_two_evaluations_compared(main, registered, evaluated, tmp_path):
    """The same warps: no difference, and no p; other pairs are refused."""
    manifest = registered / "pairs.csv"
    done = main(*words("evaluate", pairs=manifest, output=tmp_path / "again", against=evaluated))
    assert done.returncode == 0, done.stderr
    comparison = json.loads((tmp_path / "again/metrics.json").read_text())["comparison"]
    assert comparison["dice"]["difference"] == 0
    assert comparison["dice"]["p"] is None
    short = tmp_path / "short"
    short.mkdir()
    (short / "pairs.json").write_text(json.dumps({"pairs": []}))
    done = main(*words("evaluate", pairs=manifest, output=tmp_path / "no", against=short))
    assert_refused(done, ["lacks the pair"])


def test_killed_and_run_again(main, phantoms, registered, tmp_path):
    """SIGKILL after the first pair: the rerun does the rest alone, and gives what an uninterrupted one gives."""
    output, pairs = tmp_path / "out", [(0, 1), (2, 3), (4, 5), *((7, other) for other in range(7))]
    manifest = write_manifest(tmp_path / "pairs.csv", phantoms, pairs)
    command = words("register", pairs=manifest, output=output, preset="fast", affine="none", **{"cluster.workers": 1})
    process = subprocess.Popen([sys.executable, "main.py", *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    for _ in range(2400):
        done = sorted(output.glob("pairs/*/done.json"))
        if done or process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    workers = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for_the_end_of(workers)  # they may end a pair before they see that their parent is gone
    before = {path: path.stat().st_mtime_ns for path in sorted(output.glob("pairs/*/done.json"))}
    assert 1 <= len(before) < len(pairs)
    finished = main(*command)
    assert finished.returncode == 0, finished.stderr
    assert f"{len(before)} of {len(pairs)} pairs are done already" in finished.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for row in table(registered / "pairs.csv"):
        ours, theirs = (np.asarray(nibabel.load(folder / row["transforms"]).dataobj) for folder in (output, registered))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_changed_pair_is_done_again(main, phantoms, registered, tmp_path):
    """A manifest that was corrected: what stands in it now counts, not what was there under that name."""
    command = words("evaluate", pairs=tmp_path / "two.csv", output=tmp_path / "out", **{"cluster.workers": 1})
    warp = registered / "pairs/phantom-000_to_phantom-001/displacement.nii.gz"
    for moving in (0, 6):
        write_manifest(tmp_path / "two.csv", phantoms, [(moving, 1)], pair=["a"], transforms=[warp])
        done = main(*command)
        assert done.returncode == 0, done.stderr
        assert table(tmp_path / "out/pairs.csv")[0]["moving_subject"] == f"phantom-00{moving}"
    assert "done already" not in done.stdout


def test_points_and_the_way_back(main, phantoms, tmp_path):
    """A shift by hand: the error of points and the inconsistency of its inverse are known."""
    image = nibabel.load(phantoms.parent / "image" / "phantom-000.nii.gz")
    middle = nibabel.affines.apply_affine(image.affine, (np.array(image.shape) - 1) / 2)
    for name, shift in (("there", 2.0), ("back", -1.5)):
        matrix = np.eye(4)
        matrix[0, 3] = shift
        np.savetxt(tmp_path / f"{name}.txt", matrix)
    for name, offset in (("fixed", 0.0), ("moving", 3.0)):
        lines = ["x,y,z", *(",".join(map(str, middle + [n + offset, n, -n])) for n in range(3))]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    manifest = write_manifest(
        tmp_path / "pairs.csv", phantoms, [(0, 1)], transforms=["there.txt"], inverse=["back.txt"],
        moving_points=["moving.csv"], fixed_points=["fixed.csv"],
    )  # fmt: skip
    done = main(*words("evaluate", pairs=manifest, output=tmp_path / "out", kind="matrix"))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = table(tmp_path / "out/pairs.csv")
    assert float(row["tre_mm_before"]) == pytest.approx(3.0, abs=1e-6)
    assert float(row["tre_mm"]) == pytest.approx(1.0, abs=1e-6)
    assert float(row["inverse_consistency_mm"]) == pytest.approx(0.5, abs=1e-6)
    assert float(row["folding_percent"]) == 0


def test_apply_moves_all_pairs(main, registered, tmp_path):
    """What `register` moved, from its manifest: the same labels, each in the folder of its pair."""
    done = main(*words("apply", pairs=registered / "pairs.csv", output=tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    for row in table(registered / "pairs.csv"):
        ours = nibabel.load(tmp_path / "out/pairs" / row["pair"] / "labels" / Path(row["moving"]).name).get_fdata()
        theirs = nibabel.load(registered / "pairs" / row["pair"] / "moved_labels.nii.gz").get_fdata()
        assert np.mean(ours == theirs) > 0.999
