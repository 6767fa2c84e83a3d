"""`--keys` and the docs' tables of keys."""

import subprocess
import sys

import pytest

from app.keys import key_rows
from app.tasks import TASKS, config_class, find_task
from app.tuning.config import SearchConfig
from app.tuning.kernel import SHAPES
from tests.app.key_tables import marked, table
from tests.conftest import ROOT

HAVE_KEYS = [task for task in TASKS if find_task(task).config]
WITHOUT_FILE = [task for task in HAVE_KEYS if not find_task(task).needs_file]


@pytest.mark.parametrize("task", HAVE_KEYS)
def test_every_key_has_a_meaning(task):
    """A key that only its author understands is none."""
    rows = key_rows(config_class(task))
    assert not [row["key"] for row in rows if len(row["meaning"]) < 10]
    keys = [row["key"] for row in rows]
    assert len(set(keys)) == len(keys)


def test_keys_say_type_bounds_and_default():
    """What a user would else find by trying."""
    rows = {row["key"]: row for row in key_rows(config_class("hypermorph"))}
    assert rows["training.epochs"]["type"] == "whole number, 1 to 100,000"
    assert rows["training.epochs"]["default"] == "20"
    assert rows["network.encoder"]["type"] == "list of: whole number, 1 to 4,096, 0 to 10 of them"
    assert rows["objective.lambda"]["default"] == "0.5"
    assert rows["hyper[].sampling"]["type"] == "uniform | log_odds"
    assert rows["data.cohort"] == {**rows["data.cohort"], "type": "path", "default": "none"}
    assert rows["output"]["default"] == "required"
    rows = {row["key"]: row for row in key_rows(config_class("tune"))}
    assert rows["search.space.NAME.choices"]["type"] == "list of any values"


@pytest.mark.parametrize("task", HAVE_KEYS)
def test_keys_are_printed_without_the_heavy_libraries(task):
    """A user who asks for a name shall not wait for TensorFlow."""
    code = (
        "import sys; from app.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'tensorflow', 'keras', 'scipy', 'SimpleITK', 'nibabel', 'matplotlib', 'pydicom'} & set(sys.modules); "
        "print(f'loaded {sorted(heavy)}'); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, task, "--keys"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("output")
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize("place", marked(), ids=lambda place: f"{place[0].stem} {place[1]} {place[2]}")
def test_tables_of_keys_are_those_of_the_code(place):
    """`python -m tests.app.key_tables` writes them anew."""
    _, task, section, text = place
    assert text == table(task, section)


def test_every_task_has_its_table():
    """A task whose keys stand nowhere cannot be used from the docs."""
    assert {task for page, task, section, _ in marked() if page.name == "keys.md" and not section} == set(HAVE_KEYS)


def test_kernels_are_those_of_the_process():
    """The config spells them out, so that it need not load SciPy."""
    assert SearchConfig.model_fields["kernel"].annotation.__args__ == SHAPES


@pytest.mark.parametrize("task", WITHOUT_FILE)
def test_a_command_without_a_config(task, main):
    """Two images and a model are enough to say; what is missing is named."""
    done = main(task, "--dry-run")
    assert done.returncode == 2
    missing = {"convert": "file: missing", "register": "moving: missing", "apply": "images: missing"}
    assert f"error: command line: {missing.get(task, 'model: missing')}" in done.stderr


def test_register_without_a_config(trained, phantoms, main, tmp_path):
    """`--set` gives all."""
    images = [phantoms.parent / "image" / f"phantom-00{number}.nii.gz" for number in (0, 1)]
    words = [f"moving={images[0]}", f"fixed={images[1]}", f"model={trained}"]
    done = main("register", "--dry-run", *(word for item in words for word in ("--set", item)))
    assert done.returncode == 0, done.stderr
    assert f"output: {ROOT / 'runs' / 'register'}" in done.stdout


def test_a_training_needs_its_config(main):
    """Defaults alone would train on nothing."""
    done = main("fov", "train")
    assert done.returncode == 2
    assert "--config FILE is needed; configs/fov/ has some" in done.stderr
