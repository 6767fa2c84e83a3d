"""One self-contained HTML file a run."""

import base64
import html

from app.files import whole_file, write_text
from app.processor import environment
from app.reporting.figures import png

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222 }
h1 { font-size: 1.6em } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; font-size: 13px } td, th { padding: 2px 10px; text-align: right }
th { border-bottom: 1px solid #999 } td:first-child, th:first-child { text-align: left }
tr.best { font-weight: 600; background: #eef4fa } img { max-width: 100% }
pre { background: #f6f6f6; padding: 1em; overflow-x: auto; font-size: 12px }
.note { background: #fff6e0; padding: .6em 1em; border-left: 4px solid #e0a800 }
"""


class Report:
    """Sections gathered one by one, then written as one file; figures beside it as PNG.

    Args:
        title: Heading.
        folder: `RunFolder`.
        note: A first line that the reader must not miss, such as that data are simulated.
    """

    def __init__(self, title, folder, note=None):
        self.title = title
        self.folder = folder
        self.parts = [f"<h1>{html.escape(title)}</h1>"]
        if note:
            self.parts.insert(0, f'<p class="note">{html.escape(note)}</p>')

    def text(self, text):
        """Add a paragraph."""
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def heading(self, text):
        """Begin a section."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def figure(self, name, figure, caption):
        """Add a figure, and write it as `figures/NAME.png`."""
        content = png(figure)
        with whole_file(self.folder.figures / f"{name}.png") as temporary:
            temporary.write_bytes(content)
        picture = base64.b64encode(content).decode()
        caption = html.escape(caption)
        self.parts.append(
            f'<p><img src="data:image/png;base64,{picture}" alt="{caption}"><br><small>{caption}</small></p>'
        )

    def table(self, rows, best=None):
        """Add dicts as a table; `best` is the index of a row to stress."""
        names = list(rows[0])
        head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in names)
        body = "".join(
            f"<tr{' class=best' if index == best else ''}>"
            + "".join(f"<td>{html.escape(_cell(row.get(name)))}</td>" for name in names)
            + "</tr>"
            for index, row in enumerate(rows)
        )
        self.parts.append(f"<table><tr>{head}</tr>{body}</table>")

    def training(self, history):
        """Add the last epochs of a training; nothing where there was none."""
        if history:
            self.heading("Training")
            names = dict.fromkeys(key for row in history for key in row)
            self.table([{name: row.get(name) for name in names} for row in history[-10:]])

    def listing(self, text):
        """Add preformatted text."""
        self.parts.append(f"<pre>{html.escape(text)}</pre>")

    def machine(self):
        """Add versions and machine."""
        self.heading("Versions and machine")
        self.listing("\n".join(f"{key}: {value}" for key, value in environment().items()))

    def write(self):
        """Write `report.html` and return its path."""
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f"<style>{STYLE}</style><body>{''.join(self.parts)}</body></html>"
        )
        path = self.folder.path / "report.html"
        write_text(path, page)
        return path


def _cell(value):
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else str(value)
