"""The page of an evaluation of pairs: means with intervals over subjects, structures, the worst and the best pair."""

import numpy as np

from app.config import config_text
from app.notes import said
from app.reporting.html import Report
from app.reporting.intervals import interval
from app.reporting.learn2reg import dice30

NAMES = ("pair", "moving_subject", "fixed_subject")
FEW = 3  # subjects, below which an interval says nothing


def write_page(config, folder, pairs, rows, structures, comparison):
    """Sum up, and write `report.html`.

    Args:
        config: `EvaluateConfig`.
        folder: `RunFolder`, open.
        pairs: List of `PairFiles`.
        rows: List of dicts, one per pair, in their order.
        structures: List of dicts of `pair`, `label` and measures.
        comparison: Of `app.reporting.paired.compare`, or None.

    Returns:
        Dict of the metrics, and the page's path.
    """
    means = summarise(rows)
    metrics = {"pairs": len(rows), "subjects": len(_subjects(rows)), "means": means, "comparison": comparison}
    report = Report(f"{len(rows)} pairs measured", folder)
    report.text(
        f"{len(rows)} pairs of {metrics['subjects']} subjects; intervals: 95 %, subjects drawn again with replacement."
    )
    report.table([{"measure": name, **entry} for name, entry in means.items()])
    if config.learn2reg:
        metrics["l2r_dice30"] = dice30([row["l2r_dice"] for row in rows if row.get("l2r_dice") is not None])
        report.text(f"Learn2Reg's Dice30, the 30 % quantile over pairs: {metrics['l2r_dice30']:.4f}")
    if comparison:
        report.heading(f"Against {config.against}")
        report.text(
            "Difference: this evaluation less the other. Wilcoxon's signed-rank test on the subjects' mean "
            "differences; p corrected by Holm for the measures of the table."
        )
        report.table([{"measure": name, **entry} for name, entry in comparison.items()])
    for line in said():
        report.text(f"Note: {line}")
    if structures:
        report.heading("Structures")
        report.table(_by_label(structures))
    _pictures(report, pairs, rows, config)
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    return metrics, report.write()


def summarise(rows):
    """Means over pairs.

    Args:
        rows: Dicts with `moving_subject`, `fixed_subject` and numbers.

    Returns:
        Dict from measure to dict of `mean`, `low`, `high` (95 % interval over subjects; None of fewer than three),
        `worst` and `pairs`, how many have it.
    """
    results = {}
    for name in dict.fromkeys(name for row in rows for name in row if name not in NAMES):
        known = [row for row in rows if isinstance(row.get(name), int | float) and np.isfinite(row[name])]
        if not known:
            continue
        values = [row[name] for row in known]
        ends = (None, None)
        if len(_subjects(known)) >= FEW:
            ends = interval([(row["moving_subject"], row["fixed_subject"]) for row in known], values)
        results[name] = {
            "mean": float(np.mean(values)), "low": ends[0], "high": ends[1],
            "smallest": float(min(values)), "largest": float(max(values)), "pairs": len(values),
        }  # fmt: skip
    return results


def _subjects(rows):
    return {row[side] for row in rows for side in ("moving_subject", "fixed_subject")}


def _by_label(structures):
    table = []
    for label in dict.fromkeys(row["label"] for row in structures):
        own = [row for row in structures if row["label"] == label]
        entry = {"label": label, "pairs": len(own)}
        for name in ("dice_before", "dice", "hd95_mm", "surface_dice"):
            known = [row[name] for row in own if row.get(name) is not None]
            entry[name] = float(np.mean(known)) if known else None
        table.append(entry)
    return table


def _pictures(report, pairs, rows, config):
    """The worst, the median and the best pair by Dice, else by the error of points, else by folding."""
    from app.quiet import import_keras

    import_keras()
    from app.systems.registration.pair_pictures import pair_picture

    name, sign = next(
        ((name, sign) for name, sign in (("dice", 1), ("tre_mm", -1), ("folding_percent", -1)) if name in rows[0]),
    )
    order = sorted(
        (place for place, row in enumerate(rows) if row.get(name) is not None), key=lambda p: sign * rows[p][name]
    )
    chosen = dict(zip(("worst", "median", "best"), (order[0], order[len(order) // 2], order[-1]), strict=True))
    if len(order) < 3:
        chosen = {"worst": order[0], "best": order[-1]} if len(order) == 2 else {"only": order[0]}
    report.heading("Pairs")
    for title, place in chosen.items():
        figure = pair_picture(pairs[place], config.kind)
        report.figure(
            f"pair_{title}", figure, (f"The {title} pair by {name}, {rows[place][name]:.3g}: {pairs[place].name}")
        )
