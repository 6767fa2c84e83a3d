"""The tables of config keys in the docs, made from the configs themselves.

    python -m tests.app.key_tables    # writes the tables anew

A table stands between `<!-- keys of TASK -->`, or `<!-- keys of TASK: SECTION -->`, and `<!-- end -->`.
"""

import re
from pathlib import Path

from app.files import write_text
from app.keys import keys_table
from app.tasks import config_class

DOCS = Path(__file__).resolve().parents[2] / "docs"
MARKED = re.compile(r"(<!-- keys of (\w+)(?:: ([\w.\[\]]+))? -->\n)(.*?)\n?(<!-- end -->)", re.DOTALL)


def marked():
    """Every such table: page, task, section, text."""
    return [
        (page, *match.group(2, 3, 4))
        for page in sorted(DOCS.rglob("*.md"))
        for match in MARKED.finditer(page.read_text(encoding="utf-8"))
    ]


def table(task, section):
    """What shall stand there."""
    return keys_table(config_class(task), section or "")


def main():
    """Write all tables."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        new = MARKED.sub(lambda match: match[1] + table(match[2], match[3]) + "\n" + match[5], text)
        if new != text:
            write_text(page, new)


if __name__ == "__main__":
    main()
