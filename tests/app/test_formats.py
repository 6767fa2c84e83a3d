"""What is read and what is refused, format by format, and that the docs say so."""

import pytest

from tests.app.format_cases import CASES, MARKED, PAGE, answer, table

EACH = [(name, *case) for name, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("name", "kind", "write", "expected"), EACH, ids=[f"{item[0]}-{item[1]}" for item in EACH])
def test_each_kind_of_file(tmp_path, name, kind, write, expected):
    """A file that is read wrongly, or refused without a remedy."""
    said = answer(write, tmp_path)
    if expected == "read":
        assert said.startswith("read")
    else:
        assert said.startswith("refused: ")
        assert expected in said


def test_the_docs_say_what_the_readers_answer():
    """A promise of the docs that the code does not keep; `python -m tests.app.format_cases` writes the table anew."""
    (found,) = MARKED.findall(PAGE.read_text(encoding="utf-8"))
    assert found[1] == table()
