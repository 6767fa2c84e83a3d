"""The structure of the code: imports point one way and in no circle; no file, function or list of arguments is long."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from app.systems import SYSTEMS, find_about

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "nets": {"nets"},
    "transfer": {"nets", "transfer"},
    "segmentation": {"nets", "segmentation"},
    "app": {"nets", "transfer", "segmentation", "app"},
}
PACKAGES = {*ALLOWED, "tests", "benchmarks"}
FILES = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]

# Parts of `app`, from the top: each may import those below it, and those beside it.
LAYERS = [
    {"cli", "signals"},
    {"tasks"},
    {"flows", "tuning"},
    {"systems"},
    {"training", "reporting", "export", "transforms"},
    {"data"},
]
# A file of one role has one name in all systems' folders.
ROLES = {"__init__", "config", "cohort", "contract", "system", "network", "write", "report"}

LONGEST_FILE, LONGEST_TEST, LONGEST_FUNCTION, MOST_ARGUMENTS = 300, 250, 40, 7


def module_of(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imported(path):
    """Modules that a file imports, at its head or within a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module or ""


def layer(module):
    """Place of a module of `app` among the layers; the helpers that all use are below all."""
    part = module.split(".")[1] if "." in module else ""
    return next((place for place, names in enumerate(LAYERS) if part in names), len(LAYERS))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    """A network that knows of files or of the command line cannot be used elsewhere; a flow that a system imports
    cannot be read without it."""
    package = path.relative_to(ROOT).parts[0]
    assert {name.split(".")[0] for name in imported(path) if name.split(".")[0] in PACKAGES} <= ALLOWED[package]
    if package == "app":
        upwards = [name for name in imported(path) if name.startswith("app.") and layer(name) < layer(module_of(path))]
        assert not upwards


def test_no_circle():
    """Two files that import each other are one."""
    graph = {module: {name for name in imported(path) if name in MODULES} for module, path in MODULES.items()}
    done, way = set(), []

    def visit(module):
        if module in way:
            raise AssertionError(" -> ".join([*way[way.index(module) :], module]))
        if module not in done:
            way.append(module)
            for other in sorted(graph[module] - {module}):
                visit(other)
            way.pop()
            done.add(module)

    for module in graph:
        visit(module)


def test_tensorflow_stays_behind_its_seams():
    """Every other mention would break the JAX and PyTorch backends."""
    users = {
        str(path.relative_to(ROOT)) for path in FILES if "tensorflow" in {name.split(".")[0] for name in imported(path)}
    }
    assert users == {
        "nets/ops/compiled.py",
        "app/export/saved_model.py",
        "app/export/official_answers.py",  # the original package, in a process of its own
        "app/tasks/doctor.py",
        "app/training/devices.py",
        "app/tuning/hparams_board.py",
    }


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_a_system_knows_its_files_without_keras(name):
    """All that is wrong with config and data is said before TensorFlow is loaded, which takes seconds."""
    about = find_about(name)
    modules = {reference.partition(":")[0] for reference in (about.system, about.config, about.contract)}
    code = f"import sys, {', '.join(sorted(modules))}; print({{'keras', 'tensorflow'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_systems_have_the_same_files(name):
    """Who knows one system's folder knows them all."""
    folder = ROOT / SYSTEMS[name].replace(".", "/")
    assert {path.stem for path in folder.glob("*.py")} >= ROLES - {"cohort"}


def test_no_source_file_is_long():
    """One idea a file."""
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not [name for name, lines in long.items() if lines > LONGEST_FILE]


def test_no_test_file_is_long():
    """One concern a file."""
    files = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert not [str(path) for path, lines in files.items() if lines > LONGEST_TEST]


def test_no_function_is_long_or_takes_many_arguments():
    """What does not fit on a screen is not read; what has eight arguments is called wrongly."""
    long, many = [], []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > LONGEST_FUNCTION:
                long.append(f"{path.relative_to(ROOT)}: {node.name}: {lines} lines")
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([argument for argument in arguments if argument.arg not in ("self", "cls")])
            own = path.relative_to(ROOT).parts[0] == "app" and node.name != "__init__"  # Keras' classes take many
            if count > MOST_ARGUMENTS and own:
                many.append(f"{path.relative_to(ROOT)}: {node.name}: {count} arguments")
    print("\n".join([*long, *many]))
    assert not long
    assert not many


def test_public_names_have_docstrings():
    """What has no docstring cannot be used without reading its code."""
    missing = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in [tree, *tree.body]:
            public = isinstance(node, ast.Module) or (
                isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            )
            if public and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}")
    assert not missing
