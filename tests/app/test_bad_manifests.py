"""Manifests that are refused: each fault in a line, before anything is written."""

import socket

import pytest

from tests.app.refusals import assert_refused
from tests.app.test_pairs_of_a_manifest import words, write_manifest


@pytest.mark.parametrize("task", ["register", "evaluate"])
def test_bad_manifests(main, phantoms, tmp_path, task):
    """A file that is not there, a column, a name twice, no line, no file at all."""
    good = write_manifest(tmp_path / "good.csv", phantoms, [(0, 1), (0, 1)], transforms=["a.tfm", "a.tfm"])
    lines = good.read_text().splitlines()
    cases = {
        "twice.csv": (lines, "stands in line 2 too"),
        "none.csv": (lines[:1], "no pairs in it"),
        "column.csv": (["moving,warp", "a,b"], "column fixed"),
        "lost.csv": ([lines[0], lines[1].replace("phantom-001", "phantom-xyz")], "line 2: "),
        "empty.csv": ([], "column moving"),
    }
    (tmp_path / "a.tfm").write_text("")
    for name, (content, message) in cases.items():
        (tmp_path / name).write_text("\n".join(content) + "\n")
        done = main(*words(task, pairs=tmp_path / name, output=tmp_path / "out"))
        assert_refused(done, [message])
        assert not (tmp_path / "out").exists()
    assert_refused(main(*words(task, pairs=tmp_path / "no.csv", output=tmp_path / "out")), ["no.csv"])


def test_configs_that_contradict_themselves(main, phantoms, tmp_path):
    """A manifest and a pair, a model and a manifest, two places to work at."""
    manifest = write_manifest(tmp_path / "pairs.csv", phantoms, [(0, 1)])
    image = phantoms.parent / "image" / "phantom-000.nii.gz"
    cases = [
        (words("register", pairs=manifest, moving=image), "stands in the manifest"),
        (words("register", moving=image), "fixed: missing"),
        (words("evaluate", pairs=manifest, model="x"), "leave out model, or pairs"),
        (words("evaluate", pairs=manifest, subjects="all"), "subjects: belongs to model"),
        (words("evaluate", model="x", tolerance_mm=2), "tolerance_mm: belongs to pairs"),
        (words("register", pairs=manifest, **{"cluster.workers": 2, "cluster.scheduler": "tcp://a:1"}), "name one"),
        (words("register", pairs=manifest, **{"cluster.scheduler": "a:1"}), "cluster.scheduler"),
    ]
    for command, message in cases:
        assert_refused(main(*command, "--set", f"output={tmp_path / 'out'}"), [message])
        assert not (tmp_path / "out").exists()


def test_a_scheduler_that_does_not_answer(main, phantoms, tmp_path):
    """One line within the time that was set; the command can be rerun."""
    pytest.importorskip("distributed")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    manifest = write_manifest(tmp_path / "pairs.csv", phantoms, [(0, 1)])
    cluster = {"cluster.scheduler": address, "cluster.timeout_seconds": 1}
    done = main(*words("register", pairs=manifest, output=tmp_path / "out", **cluster))
    assert_refused(done, ["does not answer within 1 s"])


def test_a_pair_that_fails_leaves_the_others_alone(main, phantoms, tmp_path):
    """The good pair is measured and written; the command ends with 2 and names the bad one."""
    (tmp_path / "good.tfm").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        "Parameters: 1 0 0 0 1 0 0 0 1 2 0 0\nFixedParameters: 0 0 0\n"
    )
    (tmp_path / "bad.tfm").write_text("nothing\n")
    manifest = write_manifest(
        tmp_path / "pairs.csv", phantoms, [(0, 1), (2, 3)], transforms=["good.tfm", "bad.tfm"], pair=["good", "bad"]
    )
    done = main(*words("evaluate", pairs=manifest, output=tmp_path / "out"))
    assert_refused(done, ["bad: ", "bad.tfm"])
    assert "good" in (tmp_path / "out/pairs.csv").read_text()
    assert "bad" not in (tmp_path / "out/pairs.csv").read_text()
