"""The report of a HyperMorph run: tables, figures, HTML."""

import numpy as np

from app.config import config_text
from app.files import write_csv, write_json
from app.reporting import figures
from app.reporting.evaluate_pairs import jacobian, mean_known, register_pair, summarise
from app.reporting.html import Report
from app.training.run_folder import environment

SIMULATED = (
    "Simulated data: the model's images come from a random generator. Nothing here is evidence of accuracy on patients."
)


def write_report(
    config, folder, model, cache, hyper, rows, best, chosen_by, history, labels, example, spacing_mm, note=None
):
    """Write metrics (JSON, CSV), figures (PNG) and `report.html` of a run.

    Args:
        config: Resolved config.
        folder: `RunFolder`.
        model: The trained model.
        cache: `SubjectCache` of the evaluated subjects.
        hyper: List of `HyperParameter`.
        rows: `evaluate_pairs` on the test pairs.
        best: Hyper-parameter values to dwell on.
        chosen_by: How they were chosen, as the beginning of a sentence.
        history: Training history.
        labels: Names of the structures.
        example: Pair of subjects for the pictures.
        spacing_mm: Voxel size an axis.
        note: A first line that the reader must not miss.

    Returns:
        Path of the report.
    """
    test = summarise(rows)
    columns = [one.name for one in hyper]
    chosen = next(entry for entry in test if entry["hyper"] == best)
    labelled = bool(cache.structures)
    write_metrics(folder, columns, rows, test, labels, best, chosen)

    report = Report(f"{'HyperMorph' if columns else 'VoxelMorph'}: {folder.path.name}", folder, note)
    at = _values(columns, best)
    if labelled:
        report.text(
            (f"{chosen_by}: {at}. " if columns else "") + f"On {chosen['pairs']} pairs: mean Dice {chosen['dice']:.4f} "
            f"({chosen['dice_before']:.4f} before registration), HD95 {chosen['hd95_mm']:.2f} mm, folding "
            f"{chosen['folding_percent']:.4f} %, SDlogJ {chosen['sdlogj']:.3f}, {chosen['seconds']:.2f} s per pair."
        )
    elif columns:
        report.text(f"No labels were given: nothing says which value is best; the examples show {at}.")
    report.heading("Over the hyper-parameters" if columns else "Measures")
    _curves(report, columns, test, best, labelled)
    report.table([_table_row(columns, entry) for entry in test], best=test.index(chosen))
    if labelled:
        report.heading("Structures")
        these = [row for row in rows if row["hyper"] == best]
        pair = [np.array([row[name] for row in these]) for name in ("dice", "dice_before")]
        report.figure("structures", figures.structures(labels, *pair), f"Dice a structure{at and f' at {at}'}")
    report.heading("Example")
    _examples(report, model, cache, hyper, example, spacing_mm, best)
    if history:
        report.heading("Training")
        report.figure("training", figures.training_curves(history), "Means over each epoch")
    report.heading("Config")
    report.listing(config_text(config))
    report.heading("Versions and machine")
    report.listing("\n".join(f"{key}: {value}" for key, value in environment().items()))
    return report.write()


def write_metrics(folder, columns, rows, test, labels, best, chosen):
    """Write `metrics.csv` (one line per pair and value) and `metrics.json` (means, best, structures).

    Args:
        folder: `RunFolder`.
        columns: Names of the hyper-parameters.
        rows: `evaluate_pairs`.
        test: `summarise` of the rows.
        labels: Names of the structures.
        best: Values at which `chosen` was measured.
        chosen: Entry of `test`.
    """
    flat = []
    for row in rows:
        line = {"moving": row["moving"], "fixed": row["fixed"], **dict(zip(columns, row["hyper"], strict=True))}
        for name in ("dice", "dice_before", "hd95_mm"):
            if name in row:
                line[name] = mean_known(row[name])
        line |= {name: row[name] for name in ("folding_percent", "sdlogj", "seconds")}
        if "dice" in row:
            line |= {f"dice {label}": value for label, value in zip(labels, row["dice"], strict=True)}
        flat.append(line)
    write_csv(folder.path / "metrics.csv", flat)
    these = [row for row in rows if row["hyper"] == best]
    structures = {}
    if labels:
        for place, label in enumerate(labels):
            structures[label] = {
                name: mean_known([row[name][place] for row in these])
                for name in ("dice", "dice_before", "hd95_mm")
                if name in these[0]
            }
    write_json(
        folder.path / "metrics.json",
        {
            "best": dict(zip(columns, best, strict=True)),
            "at_best": {**chosen, "hyper": list(best)},
            "over_hyper": [{**entry, "hyper": dict(zip(columns, entry["hyper"], strict=True))} for entry in test],
            "structures_at_best": structures,
        },
    )


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


def _examples(report, model, cache, hyper, example, spacing_mm, best):
    moving, fixed = (cache.image(subject) for subject in example)
    low = tuple(one.low for one in hyper)
    high = tuple(one.high for one in hyper)
    shown = (("lowest", low), ("best", best), ("highest", high)) if hyper else (("best", best),)
    for title, values in shown:
        result = register_pair(model, moving, fixed, values)
        field = result["displacement"]
        at = _values([one.name for one in hyper], values)
        figure = figures.registration_slices(
            moving[..., 0], fixed[..., 0], result["moved"][..., 0], field, jacobian(field), spacing_mm
        )
        report.figure(f"example_{title}", figure, f"{example[0].name} to {example[1].name}{at and f' at {at}'}")


def _values(names, values):
    return ", ".join(f"{name} = {value:.3g}" for name, value in zip(names, values, strict=True))
