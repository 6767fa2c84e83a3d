"""Figures of fields of view: the strip of a volume, confusion, reliability."""

import numpy as np

from app.reporting.figures import new_figure
from app.systems.fov.regions import CLASSES

COLOURS = ("#222222", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#d55e00", "#999999")


def strip(stack, probabilities, decided, truth=None):
    """A volume from the feet (left) to the head: image, truth, raw probabilities, decision (thesis, figure 2.16).

    Args:
        stack: `AxialStack`.
        probabilities: `(n, classes)` of each slice by itself.
        decided: `Decided`.
        truth: `(n,)` classes, or None.

    Returns:
        Matplotlib figure.
    """
    rows = 3 if truth is None else 4
    figure, axes = new_figure(9.0, 1.9 * rows, nrows=rows, sharex=True)
    axes = list(axes)
    count, half = len(stack.slices), stack.slices.shape[1] // 2
    edges = np.arange(count + 1) - 0.5
    axes[0].imshow(
        stack.slices[:, half, :].T, cmap="gray", aspect="auto", extent=(edges[0], edges[-1], 0, 1), vmin=0, vmax=1
    )
    axes[0].set_ylabel("image")
    if truth is not None:
        _bands(axes[1], [(CLASSES[kind], *where) for kind, *where in _runs(truth) if kind >= 0])
        axes[1].set_ylabel("truth")
    for index, name in enumerate(CLASSES):
        if probabilities[:, index].max() > 0.05:
            axes[-2].plot(probabilities[:, index], color=COLOURS[index], label=name)
    axes[-2].set(ylabel="raw", ylim=(0, 1.02))
    _bands(axes[-1], [(region.name, region.start, region.stop) for region in decided.regions])
    for region in decided.regions:
        for low, high in (region.start_interval, region.stop_interval):
            axes[-1].axvspan(low - 0.5, high - 0.5, color="white", alpha=0.5, linewidth=0)
    axes[-1].set(ylabel="decided", xlim=(edges[0], edges[-1]), xlabel="slice, from the feet upwards")
    for axis in axes[:-2] + axes[-1:]:
        axis.set_yticks([])
    handles = [figure.add_artist(_patch(colour)) for colour in COLOURS]
    figure.legend(handles, CLASSES, loc="outside upper center", ncols=len(CLASSES), fontsize=8)
    return figure


def confusion_figure(tables):
    """Confusion in percent of each true class, side by side.

    Args:
        tables: Dict from title to `(classes, classes)` counts.

    Returns:
        Matplotlib figure.
    """
    figure, axes = new_figure(5.0 * len(tables), 4.6, ncols=len(tables), squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        percent = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axis.imshow(percent, cmap="Blues", vmin=0, vmax=100)
        for i, j in np.ndindex(percent.shape):
            if percent[i, j] >= 0.05:
                colour = "white" if percent[i, j] > 60 else "black"
                axis.text(j, i, f"{percent[i, j]:.1f}", ha="center", va="center", fontsize=7, color=colour)
        places = range(len(CLASSES))
        axis.set_xticks(places, CLASSES, rotation=45, fontsize=8)
        axis.set_yticks(places, CLASSES, fontsize=8)
        axis.set(title=title, xlabel="found", ylabel="true")
    return figure


def reliability(probabilities, truth):
    """How often slices are right, against how sure the network is.

    Args:
        probabilities: `(n, classes)`, calibrated.
        truth: `(n,)`.

    Returns:
        Matplotlib figure.
    """
    figure, axis = new_figure(4.6, 4.2)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.linspace(0, 1, 11)
    which = np.clip(np.digitize(sure, edges) - 1, 0, 9)
    points = [
        (sure[which == place].mean(), right[which == place].mean()) for place in range(10) if np.any(which == place)
    ]
    axis.plot([0, 1], [0, 1], color="#aaaaaa")
    axis.plot(*zip(*points, strict=True), "o-")
    axis.set(xlabel="probability of the likeliest class", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    return figure


def _bands(axis, runs):
    for name, start, stop in runs:
        axis.axvspan(start - 0.5, stop - 0.5, color=COLOURS[CLASSES.index(name)], linewidth=0)


def _runs(classes):
    edges = np.flatnonzero(np.diff(classes)) + 1
    for start, stop in zip([0, *edges], [*edges, len(classes)], strict=True):
        yield classes[start], start, stop


def _patch(colour):
    from matplotlib.patches import Rectangle

    return Rectangle((0, 0), 0, 0, color=colour)
