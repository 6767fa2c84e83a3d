"""The structure of the code: imports point one way, no file is too long."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "nets": {"nets"},
    "transfer": {"nets", "transfer"},
    "segmentation": {"nets", "segmentation"},
    "app": {"nets", "transfer", "segmentation", "app"},
}
PACKAGES = {*ALLOWED, "tests", "benchmarks"}
FILES = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_doors_open_one_way(path):
    """A network that knows of files or of the command line cannot be used elsewhere."""
    package = path.relative_to(ROOT).parts[0]
    assert {name for name in imports(path) if name in PACKAGES} <= ALLOWED[package]


def test_tensorflow_stays_behind_its_seams():
    """Every other mention would break the JAX and PyTorch backends."""
    users = {str(path.relative_to(ROOT)) for path in FILES if "tensorflow" in set(imports(path))}
    assert users == {
        "nets/ops/compiled.py",
        "app/export/saved_model.py",
        "app/export/official_answers.py",  # the original package, in a process of its own
        "app/tasks/doctor.py",
        "app/training/devices.py",
        "app/tuning/hparams_board.py",
    }


def test_no_source_file_over_400_lines():
    """One idea a file."""
    long = [str(path) for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert not long


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
