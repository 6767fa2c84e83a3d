"""The commands that README, docs and the headers of the configs show, and what a user would have to run them on."""

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from app.data.read import read_volume
from app.data.volume import Volume
from app.data.write import write_volume
from tests.shorter import SHORTER

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("python", ".venv/bin/python", "make", "tensorboard", ".venv/bin/pip")


# A template trained for one epoch may break its own guarantee: the report is written, and the command says so.
VERDICT = "have another topology than the template"

OFFICIAL = """
import sys
from app.export import official_answers  # before TensorFlow: it asks for the legacy Keras
official_answers.vxm.networks.VxmDense((16, 16, 16), [[4], [4, 4]]).save(sys.argv[1])
"""

# What is not run, and why.
NOT_RUN = {
    ("make", "install"): "has been run",
    ("make", "test"): "is this",
    ("make", "test-backends"): "an environment of its own, minutes to install",
    (".venv/bin/pip", "install", "tensorflow[and-cuda]==2.21.0"): "for machines with a GPU",
}


def shown_commands():
    """Every command that the pages and the configs' headers show.

    Returns:
        Dict from a command's words to the file that shows it first; in reading order.
    """
    commands = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", text)
        _add(commands, lines, page)
    for config in sorted((ROOT / "configs").rglob("*.yaml")):
        _add(
            commands,
            [line[1:] for line in config.read_text(encoding="utf-8").splitlines() if line.startswith("#   ")],
            config,
        )
    return commands


def _add(commands, lines, file):
    for line in lines:
        if line.split()[:1] and line.split()[0] in PROGRAMS:
            words = shlex.split(re.sub(r"\(or: .*", "", line), comments=True)
            words[0] = words[0].removeprefix(".venv/bin/") if words[0].endswith("python") else words[0]
            if len(words) > 1 and "<task>" not in words:
                commands.setdefault(tuple(words), str(file.relative_to(ROOT)))


def prepare_clone(folder):
    """A clean clone of the project, and beside it what the commands' users would have.

    Args:
        folder: Empty folder.

    Returns:
        Path of the clone.
    """
    clone = folder / "clone"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    return clone


def to_run(words):
    """A command as it is run: trainings shortened, what would not end asked for its help or its inspection.

    Args:
        words: As a page shows it.

    Returns:
        List of words; `python main.py` and `python -m` are run by one process, since each would load TensorFlow.
    """
    words = list(words)
    if words == ["make", "demo"]:
        words = ["python", "main.py", "hypermorph", "--config", "configs/hypermorph/demo.yaml"]
    if words[0] == "tensorboard":
        return [*words, "--inspect"]
    if words[:2] == ["python", "-m"]:
        return [*words, "--help"]
    if "--config" in words:
        shorter = SHORTER.get(words[words.index("--config") + 1], [])
        words += [word for key in shorter for word in ("--set", key)]
    if words[2:4] in (["tune", "chief"], ["tune", "worker"]):
        words.append("--dry-run")  # the address is another machine's; tests/tuning runs both on this one
    return words


def write_users_files(clone):
    """What the users of the commands have: images, masks, cohorts, points, official model files.

    Args:
        clone: Path of the clone; data that the configs look for beside it are written there.
    """
    rng = np.random.default_rng(0)
    shapes = [(15, 18, 16), (17, 16, 14), (16, 16, 16)]

    def brain(files, number, values):
        """A smooth ellipsoid with a blob of each value."""
        shape = shapes[number % 3]
        grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"))
        labels = np.zeros(shape, "uint8")
        for place, value in enumerate(values):
            angle = 2 * np.pi * place / len(values)
            middle = 0.4 * np.array([np.cos(angle), np.sin(angle), 0.1]) + 0.04 * rng.normal(size=3)
            labels[((grid - middle.reshape(3, 1, 1, 1)) ** 2).sum(0) < 0.14] = value
        image = gaussian_filter(200.0 * (labels > 0) + 40.0 * ((grid**2).sum(0) < 0.9) + 5.0 * rng.random(shape), 0.7)
        for file, array in zip(files, (image.astype("float32"), labels), strict=True):
            write_volume(file, Volume(array, np.diag([3.0, 3.0, 3.0, 1.0])))

    def cohort(manifest, folder, column, count, values):
        manifest, folder = clone / manifest, clone / folder
        lines = [f"subject,image,{column}"]
        for number in range(count):
            files = [folder / f"{kind}-{number:02d}.nii.gz" for kind in ("image", "label")]
            brain(files, number, values)
            lines.append(",".join([f"s{number:02d}", *(os.path.relpath(file, manifest.parent) for file in files)]))
        manifest.write_text("\n".join(lines) + "\n")

    cohort("my.csv", "mine", "labels", 7, [3, 17])
    cohort("brains.csv", "brains", "mask", 8, [14, 15, 20, 21, 22, 23])
    cohort("hippocampi.csv", "hippocampi", "mask", 8, [1, 2])
    shared = "../shared/data/brains_ixi_2mm"
    cohort(f"{shared}/participants.csv", shared, "labels", 7, [1, 2])
    (clone / shared / "labels.csv").write_text("index,name\n1,one side\n2,other side\n")
    shutil.copy(clone / "mine/image-00.nii.gz", clone / "a.nii.gz")
    shutil.copy(clone / "mine/image-03.nii.gz", clone / "b.nii.gz")
    for folder in ("scans", "FILE_OR_FOLDER"):
        (clone / folder).mkdir()
        shutil.copy(clone / "mine/image-01.nii.gz", clone / folder / "scan.nii.gz")
    names = [[f"mine/{kind}-0{n}.nii.gz" for kind in ("image", "label") for n in pair] for pair in ((0, 3), (1, 4))]
    lines = ["moving,fixed,moving_labels,fixed_labels", *(",".join(each) for each in names)]
    (clone / "pairs.csv").write_text("\n".join(lines) + "\n")
    write_volume(clone / "a.mha", read_volume(clone / "a.nii.gz"))
    middle = 1.5 * np.array(shapes[0])
    (clone / "clicks.csv").write_text("x,y,z,inside\n" + ",".join(f"{x:.1f}" for x in middle) + ",1\n")
    shutil.copy(clone / "configs/tune/demo.yaml", clone / "FILE")
    maker = [sys.executable, "-c", OFFICIAL, "model.h5"]
    subprocess.run(maker, check=True, capture_output=True, cwd=clone, env={**os.environ, "PYTHONPATH": str(ROOT)})


def of_masks(words):
    """Whether a command is of regions, kidneys or templates: the other commands need none of its files."""
    return any(name in word for word in words for name in ("fov", "field_of_view", "kidney", "template"))


def run_shown(folder, wanted):
    """Run the commands that are shown, each once, from a clone's root, and see that all succeed.

    Args:
        folder: Empty folder.
        wanted: Function `(words) -> bool`: whether a command is to be run.

    Returns:
        How many were run.
    """
    clone = prepare_clone(folder)
    write_users_files(clone)
    shown = {words: file for words, file in shown_commands().items() if words not in NOT_RUN and wanted(words)}
    asked, answered = folder / "asked.json", folder / "answered.json"
    # The demo's run comes first: other pages take its files.
    commands = sorted(shown, key=lambda words: words != ("make", "demo"))
    asked.write_text(json.dumps([to_run(words) for words in commands]))
    child = [sys.executable, "-m", "tests.commands", str(asked), str(answered)]
    environment = {name: value for name, value in os.environ.items() if name != "KERASMORPH_DATA"}
    done = subprocess.run(child, cwd=clone, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(answered.read_text(encoding="utf-8"))
    print(f"{len(commands)} commands in {sum(result['seconds'] for result in results):.0f} s")
    failed = [
        f"{shown[words]}: {' '.join(words)}\n  exit code {result['code']}: {result['printed'][-600:]}"
        for words, result in zip(commands, results, strict=True)
        if result["code"] != 0 and not (words[2] == "template" and VERDICT in result["printed"])
    ]
    assert not failed, "\n".join(failed)
    return len(commands)


def run_all(commands):
    """Run commands one after another in this process and the working directory it was started in; the child's part.

    Args:
        commands: List of lists of words.

    Returns:
        List of dicts: exit code, seconds, what was printed.
    """
    from app.cli import main

    results = []
    for words in commands:
        printed, began = io.StringIO(), time.perf_counter()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                if words[0] == "tensorboard":
                    done = subprocess.run([sys.executable, "-m", "tensorboard.main", *words[1:]], capture_output=True)
                    code = done.returncode
                    print(done.stderr.decode())
                elif words[1] == "-m":
                    sys.argv = words[2:]
                    runpy.run_module(words[2], run_name="__main__")
                    code = 0
                else:
                    if "keras" in sys.modules:
                        sys.modules["keras"].backend.clear_session()
                    code = main(words[2:])
            except SystemExit as ended:
                code = ended.code or 0
        seconds = time.perf_counter() - began
        results.append({"code": code, "seconds": round(seconds, 1), "printed": printed.getvalue()[-2000:]})
    return results


if __name__ == "__main__":
    asked, answered = sys.argv[1:]
    sys.path.insert(0, os.getcwd())
    Path(answered).write_text(json.dumps(run_all(json.loads(Path(asked).read_text(encoding="utf-8")))))
