"""The picture of docs/how-to/apply.md: one displacement in the words of each convention.

python -m benchmarks.conventions        seconds
"""

import argparse
from pathlib import Path

import numpy as np

from app.files import whole_file
from app.reporting.figures import BLUE, GREY, RED, new_figure, png

TO = Path(__file__).resolve().parents[1] / "docs" / "figures" / "conventions.png"
SPACING = 2.0
AT, VECTOR = np.array([12.0, 10.0]), np.array([8.0, 6.0])  # RAS millimetres, right and front


def draw():
    """Three panels: the axes that each kind of displacement counts along, and its numbers.

    Returns:
        Matplotlib figure.
    """
    figure, panels = new_figure(11, 3.1, ncols=3)
    kinds = [
        ("itk: LPS millimetres", (-1, -1), "left", "back", VECTOR * [-1, -1], "mm"),
        ("ras: RAS millimetres", (1, 1), "right", "front", VECTOR, "mm"),
        ("voxel: steps of the fixed grid", (-1, 1), "i", "j", VECTOR / [-SPACING, SPACING], ""),
    ]
    for axis, (title, signs, first, second, numbers, unit) in zip(panels, kinds, strict=True):
        axis.set_title(title, fontsize=11)
        axis.plot(*np.mgrid[0:33:SPACING, 0:25:SPACING].reshape(2, -1), ".", color="#dddddd", markersize=2)
        axis.annotate("", AT + VECTOR, AT, arrowprops={"arrowstyle": "-|>", "color": RED, "lw": 2})
        axis.annotate("", AT + [0.6, -1.0], AT + VECTOR + [0.6, -1.0],
                      arrowprops={"arrowstyle": "-|>", "color": GREY, "lw": 1, "ls": "--"})  # fmt: skip
        axis.plot(*AT, "o", color=BLUE)
        axis.plot(*(AT + VECTOR), "s", color=RED)
        axis.text(*(AT + [-0.8, 0.8]), "voxel of the\nfixed image", color=BLUE, fontsize=8, ha="right", va="bottom")
        axis.text(*(AT + VECTOR + [1, 0.6]), "where the moving\nimage is read", color=RED, fontsize=8, va="bottom")
        axis.text(17.5, 8.6, "points and surfaces\ngo back", color=GREY, fontsize=8)
        listed = ", ".join(f"{number:+g}" for number in numbers)
        axis.text(2, 22.5, f"stored: ({listed}) {unit}", fontsize=10, family="monospace")
        corner = np.array([4.0 if signs[0] > 0 else 9.0, 2.0 if signs[1] > 0 else 7.0])
        for step, name in ((np.array([5.0 * signs[0], 0]), first), (np.array([0, 5.0 * signs[1]]), second)):
            axis.annotate("", corner + step, corner, arrowprops={"arrowstyle": "->", "color": "black"})
            axis.text(*(corner + step * 1.35), name, fontsize=8, ha="center", va="center")
        axis.set_xlim(0, 32)
        axis.set_ylim(0, 24)
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with whole_file(TO) as temporary:
        temporary.write_bytes(png(draw()))


if __name__ == "__main__":
    main()
