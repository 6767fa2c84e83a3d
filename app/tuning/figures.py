"""Figures of a search."""

import numpy as np

from app.reporting.figures import BLUE, GREY, RED, new_figure


def best_so_far(rows, name, sign):
    """Best objective against time.

    Args:
        rows: List of dicts with `finished_at`, in seconds, and `objective`.
        name: Objective.
        sign: 1 if it is minimised, -1 if maximised.

    Returns:
        Matplotlib figure.
    """
    rows = sorted(rows, key=lambda row: row["finished_at"])
    minutes = np.array([row["finished_at"] for row in rows]) / 60
    values = np.array([row["objective"] for row in rows])
    figure, axis = new_figure()
    axis.plot(minutes, values, "o", color=GREY, markersize=4, label="trial")
    axis.step(minutes, sign * np.minimum.accumulate(sign * values), where="post", color=BLUE, label="best so far")
    low, high = np.percentile(values, [10, 90])
    if np.ptp(values) > 5 * (high - low) > 0:  # a few that diverged would flatten the rest
        axis.set_yscale("symlog", linthresh=max(abs(low), abs(high)))
    axis.set_xlabel("minutes since the search began")
    axis.set_ylabel(name)
    axis.legend(fontsize=8, loc="center right")
    return figure


def parallel_coordinates(space, rows, keys, name, sign):
    """Each configuration as a line over the hyper-parameters.

    Args:
        space: `Space`.
        rows: List of dicts with `configuration`, `objective` and the keys.
        keys: Names of the hyper-parameters.
        name: Objective.
        sign: 1 if it is minimised, -1 if maximised.

    Returns:
        Matplotlib figure.
    """
    rows = list({row["configuration"]: row for row in rows}.values())
    domains = space.domains()
    figure, axis = new_figure(1.6 + 1.4 * (len(keys) + 1), 4.4)
    scores = np.array([row["objective"] for row in rows], float)
    rank = np.argsort(np.argsort(sign * scores)) / max(len(rows) - 1, 1)
    places = np.full((len(rows), len(keys) + 1), np.nan)
    for column, key in enumerate(keys):
        for index, row in enumerate(rows):
            if row[key] is not None:
                places[index, column] = _place(domains[key], row[key])
    extent = np.ptp(scores) or 1.0
    places[:, -1] = (scores - scores.min()) / extent
    for index in np.argsort(-rank):
        shade = 0.15 + 0.85 * (1 - rank[index]) ** 2
        axis.plot(places[index], color=BLUE, alpha=shade, linewidth=0.6 + 1.6 * (1 - rank[index]) ** 4)
    for column, key in enumerate(keys):
        for at, label in _ticks(domains[key]):
            axis.text(
                column + 0.03, at, label, fontsize=7, va="center", bbox={"facecolor": "white", "lw": 0, "pad": 0.5}
            )
        axis.axvline(column, color=GREY, linewidth=0.6)
    for at in (0.0, 1.0):
        axis.text(len(keys) + 0.03, at, f"{scores.min() + at * extent:.4g}", fontsize=7, va="center")
    axis.axvline(len(keys), color=GREY, linewidth=0.6)
    names = [key.replace(".", ".\n") for key in keys] + [name.replace("_", "_\n")]
    axis.set_xticks(range(len(keys) + 1), names, fontsize=8)
    axis.set_yticks([])
    axis.set_xlim(-0.1, len(keys) + 0.6)
    return figure


def importance_bars(shares):
    """Bars of what each hyper-parameter explains.

    Args:
        shares: Dict from name to share in [0, 1].

    Returns:
        Matplotlib figure.
    """
    order = sorted(shares, key=shares.get)
    figure, axis = new_figure(6.4, 1.0 + 0.35 * len(order))
    axis.barh(range(len(order)), [shares[key] for key in order], color=BLUE)
    axis.set_yticks(range(len(order)), order, fontsize=8)
    axis.set_xlabel("share of the variance")
    axis.set_xlim(0, 1)
    return figure


def slices(predicted, name, sign):
    """Prediction along each hyper-parameter.

    Args:
        predicted: List of `Slice`.
        name: Objective.
        sign: 1 if it is minimised, -1 if maximised.

    Returns:
        Matplotlib figure.
    """
    columns = min(3, len(predicted))
    rows = -(-len(predicted) // columns)
    figure, axes = new_figure(3.4 * columns, 2.8 * rows, nrows=rows, ncols=columns, squeeze=False)
    for axis, prediction in zip(axes.flat, predicted, strict=False):
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in prediction.values)
        x = np.array(prediction.values, float) if numbers else np.arange(len(prediction.values))
        tried = prediction.tried if numbers else [prediction.values.index(value) for value in prediction.tried]
        middle, low, high = (sign * values for values in (prediction.middle, prediction.low, prediction.high))
        if numbers:
            axis.fill_between(x, low, high, color=BLUE, alpha=0.2)
            axis.plot(x, middle, ".-" if len(x) < 12 else "-", color=BLUE)
        else:
            axis.vlines(x, low, high, color=BLUE, alpha=0.3, linewidth=6)
            axis.plot(x, middle, "o", color=BLUE)
        axis.plot(tried, sign * np.array(prediction.found), "x", color=RED, markersize=4, alpha=0.7)
        if numbers and min(x) > 0 and max(x) / min(x) > 50:
            axis.set_xscale("log")
        if not numbers:
            axis.set_xticks(x, [str(value)[:14] for value in prediction.values], fontsize=7)
        spread = max(np.ptp(middle), np.max(np.abs(high - low)), 1e-9)
        axis.set_ylim(middle.min() - spread, middle.max() + spread)
        axis.set_title(prediction.name, fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in list(axes.flat)[len(predicted) :]:
        axis.set_visible(False)
    axes[0, 0].set_ylabel(name, fontsize=8)
    return figure


def _place(domain, value):
    choices, low, high = domain
    if choices is not None:
        words = [str(choice) for choice in choices]
        if str(value) in words:
            return words.index(str(value)) / max(len(choices) - 1, 1)
        return float(np.argmin([abs(choice - value) for choice in choices])) / max(len(choices) - 1, 1)
    if low > 0 and high / low > 50:
        return float(np.log(value / low) / np.log(high / low))
    return (value - low) / (high - low)


def _ticks(domain):
    choices, low, high = domain
    if choices is not None:
        shown = choices if len(choices) <= 8 else [choices[0], choices[-1]]
        return [(_place(domain, choice), str(choice)[:12]) for choice in shown]
    return [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
