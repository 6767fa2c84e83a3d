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
