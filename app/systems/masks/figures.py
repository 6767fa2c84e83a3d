"""What reports about masks show alike: the best, middle and worst volumes, and planes with outlines."""

import numpy as np

from app.reporting.figures import new_figure

SIMULATED = "Simulated ultrasound: no evidence of accuracy on patients."


def show_volumes(report, rows, figure):
    """Add the worst, the middle and the best volume of each population to a report.

    Args:
        report: `Report`.
        rows: What was measured, dicts with `population`, `subject` and `dice`.
        figure: Function from the index of a row to its Matplotlib figure.
    """
    report.heading("Volumes")
    for population in dict.fromkeys(row["population"] for row in rows):
        own = sorted((row["dice"], index) for index, row in enumerate(rows) if row["population"] == population)
        chosen = dict(zip(("worst", "middle", "best"), (own[0], own[len(own) // 2], own[-1]), strict=True))
        for name, (dice, index) in chosen.items():
            caption = f"{population}, {name}: {rows[index]['subject']}, Dice {dice:.3f}. Yellow: true; red: predicted."
            report.figure(f"{population}_{name}", figure(index), caption)


def slices_figure(image, truth, predicted):
    """Three planes through the middle of the true masks, with both outlines of each structure.

    Args:
        image: `Volume`.
        truth, predicted: `(i, j, k, structures)`, bool, on the image's grid.

    Returns:
        Matplotlib figure.
    """
    middle = np.round(np.argwhere(truth.any(axis=-1)).mean(axis=0)).astype(int)
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    figure, axes = new_figure(9, 3.2, ncols=3)
    for axis, panel in enumerate(axes):
        rows, columns = (other for other in range(3) if other != axis)
        plane = np.take(image.array, middle[axis], axis=axis)
        panel.imshow(plane, cmap="gray", aspect=spacing[rows] / spacing[columns])
        for masks, colour in ((truth, "gold"), (predicted, "red")):
            for mask in np.moveaxis(np.take(masks, middle[axis], axis=axis), -1, 0):
                if mask.any() and not mask.all():
                    panel.contour(mask, [0.5], colors=colour, linewidths=0.9)
        panel.set_axis_off()
    return figure
