"""Tables in the docs that benchmarks write, and that a test compares with the committed rows.

A table stands between `<!-- written by benchmarks/NAME.py: PLACE -->` and `<!-- end -->`; the benchmark's
function `tables(content)` makes it from its results file alone.
"""

import re
from pathlib import Path

from app.files import write_text

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"<!-- written by benchmarks/(\w+)\.py: (\w+) -->\n(.*?)\n?<!-- end -->", re.DOTALL)


def marked_tables():
    """All tables in the docs that a benchmark wrote.

    Returns:
        List of (page, benchmark, place, text).
    """
    return [(page, *match.groups()) for page in PAGES for match in MARKED.finditer(page.read_text(encoding="utf-8"))]


def write_tables(benchmark, tables):
    """Put a benchmark's tables into the docs.

    Args:
        benchmark: Name of its module.
        tables: Dict from place to Markdown; each must be marked somewhere.

    Raises:
        KeyError: If a place is marked nowhere.
    """
    missing = set(tables) - {place for _, name, place, _ in marked_tables() if name == benchmark}
    if missing:
        raise KeyError(f"no page has a place for {', '.join(sorted(missing))} of benchmarks/{benchmark}.py")

    def replaced(match):
        name, place, _ = match.groups()
        if name != benchmark:
            return match.group(0)
        return f"<!-- written by benchmarks/{name}.py: {place} -->\n{tables[place]}\n<!-- end -->"

    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = MARKED.sub(replaced, before)
        if after != before:
            write_text(page, after)
