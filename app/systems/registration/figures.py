"""Figures of registration: curves over a hyper-parameter, structures, training, slices."""

import numpy as np

from app.reporting.figures import BLUE, GREY, RED, new_figure

CURVES = ("loss", "similarity", "smoothness", "overlap", "validation_dice")  # in this order; further terms after them


def hyper_curve(name, values, dice, folding, best, before=None):
    """Dice and folding against one hyper-parameter, the best value marked.

    Args:
        name: Its name.
        values: Its values.
        dice: Mean Dice at each, or None without labels.
        folding: Folding in percent at each.
        best: The value to mark.
        before: Mean Dice before registration.

    Returns:
        Matplotlib figure.
    """
    figure, axis = new_figure()
    if dice is not None:
        axis.plot(values, dice, "o-", color=BLUE, label="Dice")
        at = int(np.argmin(np.abs(np.array(values) - best)))
        axis.plot([values[at]], [dice[at]], "*", color=BLUE, markersize=16, label=f"best: {name} = {best:.3g}")
        if before is not None:
            axis.axhline(before, color=GREY, linestyle=":", label="Dice before registration")
        axis.set_ylabel("mean Dice over structures", color=BLUE)
    axis.set_xlabel(name)
    folds = axis.twinx()
    folds.plot(values, folding, "s--", color=RED, markersize=4, label="folding")
    folds.set_ylabel("folding voxels (%)", color=RED)
    folds.set_ylim(0, max(0.01, 1.1 * max(folding)))
    lines = [line for panel in (axis, folds) for line in panel.get_lines()]
    axis.legend(lines, [line.get_label() for line in lines], fontsize=8, loc="best")
    return figure


def hyper_map(names, points, dice, best):
    """Mean Dice over two hyper-parameters.

    Args:
        names: Their two names.
        points: Array `(n, 2)` of values on a full grid.
        dice: Array `(n,)`.
        best: The pair of values to mark.

    Returns:
        Matplotlib figure.
    """
    figure, axis = new_figure()
    points, dice = np.asarray(points), np.asarray(dice)
    shape = len(np.unique(points[:, 0])), len(np.unique(points[:, 1]))
    order = np.lexsort((points[:, 1], points[:, 0]))
    x, y = (points[order, column].reshape(shape) for column in (0, 1))
    drawn = axis.contourf(x, y, dice[order].reshape(shape), levels=15, cmap="viridis")
    figure.colorbar(drawn, ax=axis, label="mean Dice over structures")
    axis.plot([best[0]], [best[1]], "*", color="white", markersize=16)
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    return figure


def structures(names, dice, before):
    """Dice of each structure over pairs, before and after.

    Args:
        names: Names of the structures.
        dice: Array `(pairs, structures)`.
        before: Array of the same shape.

    Returns:
        Matplotlib figure.
    """
    figure, axis = new_figure(7.2, 1.2 + 0.24 * len(names))
    order = np.argsort(np.nanmean(dice, axis=0))
    place = np.arange(len(names))
    for values, colour, label in ((before, GREY, "before"), (dice, BLUE, "after")):
        mean, spread = np.nanmean(values, axis=0)[order], np.nanstd(values, axis=0)[order]
        axis.errorbar(mean, place, xerr=spread, fmt="o", color=colour, label=label, markersize=4, linewidth=0.8)
    axis.set_yticks(place, [names[index] for index in order], fontsize=8)
    axis.set_xlabel("Dice (mean and deviation over pairs)")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def training_curves(history):
    """Loss, its parts and the validation Dice against the epoch.

    Args:
        history: List of dicts with `epoch`.

    Returns:
        Matplotlib figure.
    """
    measured = {name for row in history for name, value in row.items() if value is not None} - {"epoch", "seconds"}
    names = [name for name in CURVES if name in measured] + sorted(measured - set(CURVES))
    panels = {
        name.replace("_", " "): [(row["epoch"], row[name]) for row in history if row.get(name) is not None]
        for name in names
    }
    return _curves(panels, "epoch")


def similarity_curve(curve):
    """Similarity over the iterations of each level.

    Args:
        curve: List of dicts of `level` (its factor), `iteration` and `similarity`.

    Returns:
        Matplotlib figure, one panel per level.
    """
    panels = {}
    for point in curve:
        panels.setdefault(f"level 1/{point['level']}", []).append((point["iteration"], point["similarity"]))
    return _curves(panels, "iteration")


def _curves(panels, along):
    """A panel per name, with its points `(x, y)`."""
    figure, axes = new_figure(3.0 * len(panels), 2.6, ncols=len(panels), squeeze=False)
    for axis, (name, points) in zip(axes[0], panels.items(), strict=True):
        axis.plot(*zip(*points, strict=True), ".-", color=BLUE, markersize=4)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(along, fontsize=8)
        axis.tick_params(labelsize=7)
    return figure


def registration_slices(moving, fixed, moved, displacement, determinant, spacing_mm):
    """Middle slices of one registration: moving, fixed, moved, difference, grid, Jacobian.

    Args:
        moving, fixed, moved: Arrays `(i, j[, k])` in [0, 1].
        displacement: Array `(i, j[, k], rank)`, in voxels.
        determinant: Its Jacobian determinant, `(i, j[, k])`.
        spacing_mm: Voxel size an axis.

    Returns:
        Matplotlib figure, one row in 2D, one a plane in 3D.
    """
    rank = moving.ndim
    cuts = [None] if rank == 2 else [2, 1, 0]
    titles = ("moving", "fixed", "moved", "fixed - moved", "deformed grid", "Jacobian determinant")
    height = 2.4 * len(cuts) + 0.3
    columns = {"width_ratios": [*[1.0] * len(titles), 0.05], "wspace": 0.06, "hspace": 0.12}
    edges = {"left": 0.01, "right": 0.97, "bottom": 0.1 / height, "top": 1 - 0.3 / height}
    figure, axes = new_figure(
        12.6, height, None, nrows=len(cuts), ncols=len(titles) + 1, squeeze=False, gridspec_kw=columns | edges
    )
    for row, cut in zip(axes, cuts, strict=True):
        plane = [axis for axis in range(rank) if axis != cut]
        middle = (
            tuple(slice(None) if a in plane else fixed.shape[a] // 2 for a in range(rank)) if cut is not None else ...
        )
        aspect = spacing_mm[plane[1]] / spacing_mm[plane[0]]
        pictures = [moving[middle], fixed[middle], moved[middle], (fixed - moved)[middle]]
        for axis, picture, title in zip(row, pictures, titles, strict=False):
            limits = {"cmap": "RdBu", "vmin": -1, "vmax": 1} if title == "fixed - moved" else {"cmap": "gray"}
            axis.imshow(picture.T, origin="lower", aspect=aspect, **limits)
        _draw_grid(row[4], displacement[middle][..., plane], aspect)
        shown = row[5].imshow(determinant[middle].T, origin="lower", cmap="PuOr_r", vmin=0.0, vmax=2.0, aspect=aspect)
        figure.colorbar(shown, cax=row[6], ticks=[0.0, 0.5, 1.0, 1.5, 2.0]).ax.tick_params(labelsize=8)
        if np.any(determinant[middle] <= 0):
            row[5].contour((determinant[middle] <= 0).T, levels=[0.5], colors="red", linewidths=0.8)
        for axis, title in zip(row, titles, strict=False):
            axis.set_title(title, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
    return figure


def checkerboards(fixed, stages, spacing_mm, fields=8):
    """Fields of two images in turns, at each stage of a registration.

    Args:
        fixed: Array `(i, j[, k])` in [0, 1].
        stages: Dict from a title to the moving image at that stage, arrays of the same shape.
        spacing_mm: Voxel size per axis.
        fields: Along the longest side.

    Returns:
        Matplotlib figure, a column per stage and, in 3D, a row per plane.
    """
    cuts = [None] if fixed.ndim == 2 else [2, 1, 0]
    figure, axes = new_figure(3.0 * len(stages), 2.8 * len(cuts), nrows=len(cuts), ncols=len(stages), squeeze=False)
    for row, cut in zip(axes, cuts, strict=True):
        plane = [axis for axis in range(fixed.ndim) if axis != cut]
        middle = tuple(fixed.shape[axis] // 2 if axis == cut else slice(None) for axis in range(fixed.ndim))
        target = fixed[middle]
        side = max(size * spacing_mm[axis] for size, axis in zip(target.shape, plane, strict=True)) / fields
        place = [np.arange(size) * spacing_mm[axis] // side for size, axis in zip(target.shape, plane, strict=True)]
        even = np.add.outer(*place) % 2 == 0
        for axis, (title, image) in zip(row, stages.items(), strict=True):
            picture = np.where(even, target, image[middle])
            aspect = spacing_mm[plane[1]] / spacing_mm[plane[0]]
            axis.imshow(picture.T, origin="lower", cmap="gray", vmin=0, vmax=1, aspect=aspect)
            axis.set_title(title, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
    return figure


def jacobian_histogram(determinant):
    """How often each Jacobian determinant occurs; what folds is red.

    Args:
        determinant: Array `(i, j[, k])`.

    Returns:
        Matplotlib figure.
    """
    figure, axis = new_figure(5.0, 2.6)
    edges = np.linspace(-0.5, 3.0, 71)
    counts, _ = np.histogram(np.clip(determinant, edges[0], edges[-1]), edges)
    colours = [RED if right <= 0 else BLUE for right in edges[1:]]
    axis.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours)
    axis.set_yscale("symlog")
    axis.axvline(1.0, color=GREY, linestyle=":")
    axis.set_xlabel("Jacobian determinant (0 and below: folding)")
    axis.set_ylabel("voxels")
    return figure


def _draw_grid(axis, displacement, aspect):
    step = max(2, min(displacement.shape[:2]) // 20)
    i, j = np.meshgrid(*(np.arange(size) for size in displacement.shape[:2]), indexing="ij")
    x, y = i + displacement[..., 0], j + displacement[..., 1]
    axis.plot(x[::step].T, y[::step].T, color=BLUE, linewidth=0.5)
    axis.plot(x[:, ::step], y[:, ::step], color=BLUE, linewidth=0.5)
    axis.set_aspect(aspect)
