"""What was measured over hyper-parameter values: metrics, tables, figures."""

import numpy as np

from app.systems.registration import figures
from app.systems.registration.measure import jacobian, mean_known, summarise
from app.systems.steps import Evaluation


def evaluation_of(registrar, question, rows, best, chosen_by, history=()):
    """What was measured on pairs of a cohort.

    Args:
        registrar: `NetworkRegistrar`.
        question: `Question` of pairs, its facts a `Measurement`.
        rows: `evaluate_pairs` on them.
        best: Hyper-parameter values to dwell on.
        chosen_by: How they were chosen, as the beginning of a sentence.
        history: List of dicts, one per epoch of the training.

    Returns:
        `Evaluation`.
    """
    facts, means = question.facts, summarise(rows)
    columns = [hyper.name for hyper in registrar.hyper_parameters]
    chosen = next(entry for entry in means if entry["hyper"] == best)
    line = _line(columns, best, chosen, chosen_by)

    def sections(report):
        report.text(line)
        report.heading("Over the hyper-parameters" if columns else "Measures")
        _curves(report, columns, means, best, "dice" in chosen)
        report.table([_table_row(columns, entry) for entry in means], best=means.index(chosen))
        if "dice" in chosen:
            _structures(report, facts.labels, [row for row in rows if row["hyper"] == best], _at(columns, best))
        report.heading("Example")
        _examples(report, registrar, facts, question.cases[0], best)
        if history:
            report.heading("Training")
            report.figure("training", figures.training_curves(history), "Means over each epoch")

    return Evaluation(
        metrics=_metrics(columns, rows, means, facts.labels, chosen),
        rows=[_row(columns, row, facts.labels) for row in rows],
        title=f"{'HyperMorph' if columns else 'VoxelMorph'}: {registrar.config.output.name}",
        line=line,
        sections=sections,
        note=facts.note,
        table="metrics.csv",
    )


def _line(columns, best, chosen, chosen_by):
    at = _values(columns, best)
    if "dice" in chosen:
        return (
            (f"{chosen_by}: {at}. " if columns else "") + f"On {chosen['pairs']} pairs: mean Dice {chosen['dice']:.4f} "
            f"({chosen['dice_before']:.4f} before registration), HD95 {chosen['hd95_mm']:.2f} mm, folding "
            f"{chosen['folding_percent']:.4f} %, SDlogJ {chosen['sdlogj']:.3f}, {chosen['seconds']:.2f} s per pair."
        )
    if columns:
        return f"No labels were given: nothing says which value is best; the examples show {at}."
    return f"No labels were given: folding {chosen['folding_percent']:.4f} %, SDlogJ {chosen['sdlogj']:.3f}."


def _row(columns, row, labels):
    line = {"moving": row["moving"], "fixed": row["fixed"], **dict(zip(columns, row["hyper"], strict=True))}
    for name in ("dice", "dice_before", "hd95_mm"):
        if name in row:
            line[name] = mean_known(row[name])
    line |= {name: row[name] for name in ("folding_percent", "sdlogj", "seconds")}
    if "dice" in row:
        line |= {f"dice {label}": value for label, value in zip(labels, row["dice"], strict=True)}
    return line


def _metrics(columns, rows, means, labels, chosen):
    """Means at each value, the best of them, and the structures there."""
    best = chosen["hyper"]
    these = [row for row in rows if row["hyper"] == best]
    measures = [name for name in ("dice", "dice_before", "hd95_mm") if name in these[0]]
    return {
        "best": dict(zip(columns, best, strict=True)),
        "at_best": {**chosen, "hyper": list(best)},
        "over_hyper": [{**entry, "hyper": dict(zip(columns, entry["hyper"], strict=True))} for entry in means],
        "structures_at_best": {
            label: {name: mean_known([row[name][place] for row in these]) for name in measures}
            for place, label in enumerate(labels)
        },
    }


def _structures(report, labels, rows, at):
    report.heading("Structures")
    pair = [np.array([row[name] for row in rows]) for name in ("dice", "dice_before")]
    report.figure("structures", figures.structures(labels, *pair), f"Dice a structure{at}")


def _table_row(columns, entry):
    kept = {key: value for key, value in entry.items() if key != "hyper"}
    return {**dict(zip(columns, entry["hyper"], strict=True)), **kept}


def _curves(report, columns, test, best, labelled):
    for place, name in enumerate(columns):
        line = [
            entry
            for entry in test
            if all(entry["hyper"][other] == best[other] for other in range(len(columns)) if other != place)
        ]
        figure = figures.hyper_curve(
            name,
            [entry["hyper"][place] for entry in line],
            [entry["dice"] for entry in line] if labelled else None,
            [entry["folding_percent"] for entry in line],
            best[place],
            line[0].get("dice_before"),
        )
        others = "" if len(columns) == 1 else ", the others at their best"
        report.figure(f"over_{name}", figure, f"Mean Dice and folding against {name}{others}")
    sizes = [len({entry["hyper"][place] for entry in test}) for place in range(len(columns))]
    if len(columns) == 2 and labelled and min(sizes) > 1 and sizes[0] * sizes[1] == len(test):
        figure = figures.hyper_map(columns, [entry["hyper"] for entry in test], [entry["dice"] for entry in test], best)
        report.figure("map", figure, f"Mean Dice over {columns[0]} and {columns[1]}")


def _examples(report, registrar, facts, pair, best):
    moving, fixed = (facts.cache.image(subject) for subject in pair)
    hyper = registrar.hyper_parameters
    ends = (("lowest", tuple(each.low for each in hyper)), ("highest", tuple(each.high for each in hyper)))
    shown = (ends[0], ("best", best), ends[1]) if hyper else (("best", best),)
    for title, values in shown:
        result = registrar(moving, fixed, values)
        field = result.displacement
        pictures = (picture[..., 0] for picture in (moving, fixed, result.moved))
        figure = figures.registration_slices(*pictures, field, jacobian(field), facts.spacing_mm)
        at = _at([each.name for each in hyper], values)
        report.figure(f"example_{title}", figure, f"{pair[0].name} to {pair[1].name}{at}")


def _at(names, values):
    return f" at {_values(names, values)}" if names else ""


def _values(names, values):
    return ", ".join(f"{name} = {value:.3g}" for name, value in zip(names, values, strict=True))
