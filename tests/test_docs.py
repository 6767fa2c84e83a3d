"""The docs' figures are those of the committed results."""

import importlib
import json

import pytest

from benchmarks.pages import marked_tables
from benchmarks.results_file import RESULTS

MARKED = marked_tables()


def test_pages_have_tables_of_benchmarks():
    """Without marks nothing would be compared."""
    assert {benchmark for _, benchmark, _, _ in MARKED} == {
        "affine",
        "cohort",
        "demo",
        "dicom_readers",
        "engine",
        "engine_tasks",
        "engine_network",
        "field_of_view",
        "floor",
        "gaussian_process",
        "hypermorph_2d",
        "hypermorph_against_voxelmorph",
        "ixi_3d",
        "kidney_real",
        "kidney_transfer",
        "kills",
        "template_against_unet",
        "tuning_digits",
        "tuning_replay",
        "warps",
    }


@pytest.mark.parametrize(("page", "benchmark", "place", "text"), MARKED, ids=lambda value: str(value)[-24:])
def test_tables_are_those_of_the_rows(page, benchmark, place, text):
    """A figure that nobody measured, or an old one, must not stand in the docs."""
    content = json.loads((RESULTS / f"{benchmark}.json").read_text(encoding="utf-8"))
    assert importlib.import_module(f"benchmarks.{benchmark}").tables(content)[place] == text
