"""Figures: curves over a hyper-parameter, structures, training, and slices of a registration."""

import io

BLUE, RED, GREY = "#2368a2", "#c0392b", "#777777"


def new_figure(width=6.4, height=4.0, layout="constrained", **panels):
    """A figure without a display.

    Args:
        width, height: Inches.
        layout: Matplotlib's layout engine; None where the panels' own grid is enough, which takes half of the time.
        **panels: Arguments of `Figure.subplots`.

    Returns:
        Matplotlib figure and its axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    return figure, figure.subplots(**panels)


def png(figure):
    """A figure as PNG bytes.

    Args:
        figure: Matplotlib figure.

    Returns:
        Bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def middle_slices(pictures, spacing_mm, most=6):
    """Middle slices of volumes on one grid, a row each.

    Args:
        pictures: List of names and arrays `(i, j[, k])`.
        spacing_mm: Voxel size along each axis.
        most: Rows at most; the first are shown.

    Returns:
        Matplotlib figure.
    """
    shown = pictures[:most]
    rank = shown[0][1].ndim
    views = range(rank) if rank == 3 else (2,)
    figure, axes = new_figure(2.8 * len(views), 2.6 * len(shown), nrows=len(shown), ncols=len(views), squeeze=False)
    for row, (name, array) in zip(axes, shown, strict=True):
        for axis, view in zip(row, views, strict=True):
            plane = array if rank == 2 else array.take(array.shape[view] // 2, axis=view)
            across, up = (number for number in range(rank) if number != view)
            axis.imshow(plane.T, cmap="gray", origin="lower", aspect=spacing_mm[up] / spacing_mm[across])
            axis.set_axis_off()
        row[0].set_title(name, fontsize=8, loc="left")
    return figure
