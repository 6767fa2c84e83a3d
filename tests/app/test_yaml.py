"""YAML and other text of strangers: limits, and errors that name the key."""

import os
import time

import pytest

from app.cli import _say
from app.config import load_config
from app.data.tables import csv_rows
from app.errors import UserError, shortened
from app.files import user_text
from app.systems import find_system
from app.systems.fov.config import FovConfig
from app.systems.registration.config import HyperMorphConfig
from app.systems.registration.cost import hypermorph_cost
from app.systems.template.config import TemplateConfig
from app.yaml_text import read_yaml


def bomb(levels, opening="[{}]", value="x"):
    lines = [f"a0: &a0 {opening.format(', '.join([value] * 9))}"]
    lines += [f"a{n}: &a{n} {opening.format(', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, levels)]
    return "\n".join(lines) + f"\nseed: *a{levels - 1}\n"


REFUSED = {
    "bomb of lists": (bomb(9), ["a3", "aliases repeat"]),
    "bomb of merges": ("a0: &a0 {x: 1}\n" + bomb(9, "{{<<: [{}]}}", "*a0").replace("a0: &a0", "b: &a0", 1), []),
    "many aliases of one value": ("a: &a x\nb: [" + "*a, " * 1001 + "]", ["b.1000", "aliases repeat"]),
    "a list that contains itself": ("seed: &a [*a]", ["seed", "'*a' contains itself"]),
    "a section that contains itself": ("data: &a {b: {c: *a}}", ["data.b.c", "contains itself"]),
    "an alias of nothing": ("seed: *a", ["seed", "'*a' stands for nothing"]),
    "deep lists": ("seed: " + "[" * 3000 + "]" * 3000, ["seed", "deeper than 64"]),
    "deep sections": ("seed: " + "{a: " * 5000 + "1" + "}" * 5000, ["seed", "deeper than 64"]),
    "deep by indentation": ("\n".join(" " * n + "a:" for n in range(100)), ["deeper than 64"]),
    "deep by aliases": ("a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 99)), []),
    "nothing but brackets": ("[" * 900_000, ["deeper than 64"]),
    "too many values": ("\n".join(f"k{n}: {n}" for n in range(20_000)), ["more than 20,000 values"]),
    "too large": ("k: " + "x" * 2**20, ["larger than 1 MB"]),
    "a key twice": ("seed: 1\nx: {a: 1,\n a: 2}", ["x: ", "'a' stands twice, at lines 2 and 3"]),
    "a key twice, in quotes": ("seed: 1\n'seed': 2", ["'seed' stands twice, at lines 1 and 2"]),
    "two documents": ("a: 1\n---\nb: 2", ["second document begins at line 2"]),
    "a key that is a number": ("7: 3", ["'7' is no word"]),
    "a key that is true": ("x: {yes: 3}", ["x: ", "'yes' is no word"]),
    "a key that is a list": ("? [1, 2]\n: 3", ["keys are words"]),
    "a function": ("seed: !!python/name:os.system ''", ["seed", "!!python/name:os.system is unknown"]),
    "an object": ("x: [!!python/object/apply:os.system [ls]]", ["x.0", "unknown"]),
    "an unknown tag": ("seed: !mine 1", ["seed", "!mine is unknown"]),
    "a tagged date": ("seed: !!timestamp x", ["seed", "!!timestamp is unknown"]),
    "bytes": ("seed: !!binary x", ["seed", "!!binary is unknown"]),
    "no whole number": ("x: {seed: !!int x}", ["x.seed", "'x' is no int"]),
    "no number": ("seed: !!float x", ["seed", "'x' is no float"]),
    "no truth": ("seed: !!bool x", ["seed", "'x' is no bool"]),
    "half a hexadecimal": ("seed: 0x_", ["seed", "'0x_' is no int"]),
    "five thousand digits": ("seed: 1" + "0" * 5200, ["seed", "a number of 5,201 digits"]),
    "five thousand digits, hexadecimal": ("seed: 0x" + "f" * 5200, ["seed", "digits"]),
    "five thousand digits, in sixties": ("seed: 1" + ":1" * 100_000, ["seed", "digits"]),
    "half a letter": ('seed: "\\ud800"', ["seed", "half of a letter"]),
    "not closed": ("x: [1, 2", ["not valid YAML (line 1"]),
    "a NUL": ("a: 1\nb: \0", ["not valid YAML"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """What costs minutes or memory, or means two things, must end in a short line that names the key, at once."""
    text, expected = REFUSED[name]
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        read_yaml(text, "my.yaml")
    assert time.process_time() - started < 20  # the worst of these took minutes, or all memory
    (line,) = caught.value.problems
    assert line.startswith("my.yaml: ")
    assert len(line) <= 300
    assert line.isprintable()
    assert all(word in line for word in expected), line


def test_what_is_meant_is_read():
    """Limits that refuse an honest config would be worse than none."""
    text = "base: &b {seed: 3, x: [1, 1.5e+3, .inf, true, null]}\nmore: {<<: *b, seed: 4}\nday: 2001-13-45\neq: =\n"
    values = read_yaml(text, "my.yaml")
    assert values["base"] == {"seed": 3, "x": [1, 1500.0, float("inf"), True, None]}
    assert values["more"] == {**values["base"], "seed": 4}
    assert (values["day"], values["eq"]) == ("2001-13-45", "=")
    assert read_yaml("", "my.yaml") is None
    assert len(read_yaml("a: &a x\nb: [" + "*a, " * 1000 + "]", "my.yaml")["b"]) == 1000
    assert read_yaml("[" * 64 + "]" * 64, "my.yaml")


FILES = ["/dev/zero", "/dev/urandom", "/proc/self/mem", "/proc/self", "pipe", "a\0b", "y" * 20_000, "latin", "nul"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_text_file(tmp_path, name):
    """A device has no end and a pipe waits for ever: reading them would hang, or take all memory."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes(b"subject,image\na,\xe9\n")
    (tmp_path / "nul").write_bytes(b"subject,image\na,\0\n")
    path = tmp_path / name
    for read in (
        lambda: user_text(path, 1000, "give a file"),
        lambda: csv_rows(path, ("subject", "image")),
        lambda: load_config(FovConfig, path),
    ):
        with pytest.raises(UserError):
            read()


def test_a_table_too_large(tmp_path):
    """A file of no end would fill the memory; its size is looked at, not believed."""
    (tmp_path / "a.csv").write_text("x" * 1001)
    with pytest.raises(UserError, match="larger than"):
        user_text(tmp_path / "a.csv", 1000, "give a smaller one")
    assert user_text(tmp_path / "a.csv", 1001, "") == "x" * 1001


def test_errors_are_short_lines_that_can_be_shown(capsys):
    """An escape sequence of a stranger's file would repaint the terminal; a line of 20,000 letters hides the rest."""
    _say(["a.yaml: seed: \x1b[31mred\u202e\nnext: " + "y" * 20_000 + " cannot be; do that", "x " * 400])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() and len(line) <= 397 for line in lines)
    assert lines[0].startswith("error: a.yaml: seed: \\x1b[31mred\\u202e\\nnext: yyy")
    assert lines[0].endswith("cannot be; do that")


def test_only_what_is_too_long_is_cut():
    """A path of which a letter is missing leads nowhere."""
    line = f"{'p' * 200}: cannot be read; give another"
    assert shortened(line, 300) == line
    cut = shortened(f"{'p' * 300}: cannot be read; give another", 300)
    assert len(cut) <= 300
    assert cut.endswith("p: cannot be read; give another")


def config(kind, tmp_path, text):
    (tmp_path / "c.yaml").write_text(f"output: {tmp_path / 'out'}\n{text}")
    return load_config(kind, tmp_path / "c.yaml")


def test_counted_costs_are_those_of_the_networks(tmp_path):
    """A count above the truth would refuse what fits; one far below lets the machine be exhausted."""
    from app.quiet import import_keras

    import_keras()
    from app.systems.fov.network import classifier_of
    from app.systems.registration.network import network_of
    from app.tuning.model_size import model_size
    from nets.segmentation_unet import SegmentationUNet

    for text in (
        "size: 64, phantom: {}}",
        "size: 32, context: 1, phantom: {}}\nnetwork: {head: pool, separable: true}",
    ):
        fov = config(FovConfig, tmp_path, "data: {" + text)
        weights, values = model_size(lambda: classifier_of(fov))  # noqa: B023
        cost = find_system("fov").cost(fov)
        assert 0.95 * weights <= cost.weights <= weights
        assert 0.5 * values <= cost.kept <= values
    for text in ("{}", "{generator: full}", "{generator: low_rank}", "{features: images, velocity_resolution: 1}"):
        morph = config(HyperMorphConfig, tmp_path, f"data: {{phantom: {{}}}}\nnetwork: {text}")
        weights, _ = model_size(lambda: network_of(morph, 0))  # noqa: B023
        assert 0.9 * weights <= hypermorph_cost(morph, (16, 16, 16)).weights <= 1.02 * weights
    kidney = config(TemplateConfig, tmp_path, "data: {size: 16, phantom: {}}\nnetwork: {filters: [4, 8, 16]}")
    weights, _ = model_size(lambda: SegmentationUNet(filters=(4, 8, 16)))
    assert 0.98 * weights <= find_system("template").cost(kidney).weights <= weights


TOO_LARGE = {
    "hypermorph": [["data.phantom.shape=[2048, 2048, 2048]"], ["network.encoder=[4096, 4096, 4096, 4096]"]],
    "fov": [["data.size=2048", "network.head=dense", "network.units=[65536]"], ["training.batch_size=4096"]],
    "kidney": [["data.size=2048"], ["network.filters=[4096, 4096, 4096, 4096]"]],
    "template": [["data.size=1024"], ["network.filters=[4096, 4096, 4096, 4096]"]],
    "tune": [["data.phantom.shape=[2048, 2048, 2048]"], ["network.final=[4096, 4096, 4096, 4096]"]],
}
EXTRA = {"fov": ["data.size=1024", "network.filters=4096"], "tune": ["data.phantom.shape=[512, 512, 512]"]}
BASES = {"kidney": "source", "template": "kidney"}


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("task", TOO_LARGE)
def test_more_than_the_machine_has(main, tmp_path, monkeypatch, task, dry):
    """Built all the same, it would take the machine with it: before anything is simulated, built or written."""
    monkeypatch.setattr("app.training.cost.machine_bytes", lambda: 8 * 2**30)
    monkeypatch.setattr("app.training.cost._graphics_bytes", lambda: 0)
    for sets in TOO_LARGE[task]:
        words = [word for item in (*EXTRA.get(task, ()), *sets) for word in ("--set", item)]
        words += ["--set", f"output={tmp_path / 'out'}"] + ["--dry-run"] * dry
        done = main(task, "--config", f"configs/{task}/{BASES.get(task, 'demo')}.yaml", *words)
        assert done.returncode == 2, done.stdout
        assert "GiB" in done.stderr
        assert "lower one of them" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
