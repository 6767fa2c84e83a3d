"""The tables of `docs/results/template.md`, made from the rows of `benchmarks.template_against_unet`."""

import numpy as np

LABELS = {
    "U-Net, no augmentation": "U-Net without augmentation",
    "U-Net": "U-Net",
    "U-Net, largest part": "U-Net, largest part",
    "local only": "local only",
    "global and local": "global and local",
    "ours": "ours",
    "ours, refined": "ours, refined by 20 steps",
}
PARTS = {"whole": "whole", "moved": "moved", "shadow": "shadow", "noise": "noise", "slab": "slab missing"}
LONG = "120 epochs"
MASKS = ("HD95 mm", "surface Dice", "parts", "right topology", "worst", "folding volumes", "s")


def tables(content):
    """All tables of the page.

    Args:
        content: Of the results file.

    Returns:
        Dict from the name of a place in the docs to Markdown.
    """
    rows = content["rows"]
    return {
        "kidneys_dice": _dice(rows, "kidneys", "kidneys, adults / children"),
        "kidneys_masks": _masks(rows, "kidneys"),
        "hippocampi_dice": _dice(rows, "hippocampi", "hippocampi"),
        "hippocampi_masks": _masks(rows, "hippocampi"),
        "longer": _longer(rows),
    }


def _dice(rows, cohort, title):
    lines = _heading((title, *PARTS.values()))
    for method, own in _methods(rows, cohort).items():
        lines.append(_line([LABELS[method], *(_text(own, part, "dice", ".3f") for part in PARTS)]))
    return "\n".join(lines)


def _masks(rows, cohort):
    lines = _heading((f"{cohort}, whole", *MASKS))
    for method, own in _methods(rows, cohort).items():
        cells = [_text(own, "whole", *how) for how in (
            ("hd95_mm", ".1f"), ("surface_dice", ".2f"), ("components", ".2f"), ("template_topology", ".0%"),
        )]  # fmt: skip
        folding = "–" if method.startswith("U-Net") else _text(own, "whole", "folding", ".0%")  # it has no transform
        lines.append(_line([LABELS[method], *cells, _worst(own), folding, _text(own, "whole", "seconds", ".2f")]))
    return "\n".join(lines)


def _longer(rows):
    lines = _heading((f"{LONG}, adults / children", *PARTS.values(), "right topology (worst)"))
    for method, own in _methods(rows, "kidneys", LONG).items():
        lines.append(_line([LABELS[method], *(_text(own, part, "dice", ".3f") for part in PARTS), _worst(own)]))
    return "\n".join(lines)


def _methods(rows, cohort, longer=None):
    """Dict from method to its rows, one a seed."""
    methods = {}
    for method in LABELS:
        start, end = f"{cohort} / {method} / ", f" / {longer}" if longer else ""
        own = [
            row
            for name, row in rows.items()
            if name.startswith(start) and name[len(start) :].strip("0123456789") == end
        ]
        if own:
            methods[method] = own
    return methods


def _means(rows, part, key):
    """Mean over seeds of each population: of kidneys adults, then children."""
    return [float(np.mean([row[part][population][key] for row in rows])) for population in rows[0][part]]


def _text(rows, part, key, form):
    return " / ".join(format(value, form) for value in _means(rows, part, key))


def _worst(rows):
    return format(min(value for part in PARTS for value in _means(rows, part, "template_topology")), ".0%")


def _heading(names):
    return [_line(names), f"|---|{'---:|' * (len(names) - 1)}"]


def _line(cells):
    return f"| {' | '.join(cells)} |"
