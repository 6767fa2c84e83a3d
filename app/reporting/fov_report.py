"""The report of a field-of-view run: slices, volumes, boundaries, examples."""

import numpy as np

from app.config import config_text
from app.data.regions import CLASSES
from app.files import whole_file, write_csv, write_json
from app.progress import progress
from app.reporting.figures import png
from app.reporting.fov_figures import confusion_figure, reliability, strip
from app.reporting.fov_metrics import confusion, summarise_volumes, volume_row
from app.reporting.html import Report

SIMULATED = "Trained and measured on simulated bodies: no evidence of accuracy on patients."


def write_report(config, folder, contract, logits_of, test, history):
    """Measure the test volumes; write `metrics.json`, `volumes.csv`, figures and `report.html`.

    Args:
        config: `FovConfig`.
        folder: `RunFolder`.
        contract: `FovContract`.
        logits_of: Function `(slices) -> logits`.
        test: List of `LabelledStack`.
        history: List of dicts, one per epoch.

    Returns:
        Path of the report.
    """
    found = measure(contract.decision, logits_of, test)
    test = found["volumes"]
    _write_tables(folder.path, found, contract.simulated)
    report = Report("Field of view", folder, SIMULATED if contract.simulated else None)
    summary = found["summary"]
    report.text(
        f"{summary['volumes']} test volumes, {summary['slices']} slices: {100 * summary['raw_error']:.1f} % of slices "
        f"wrong by themselves, {100 * summary['decided_error']:.1f} % after the decision over the volume; the set of "
        f"regions is right in {100 * summary['regions_right']:.0f} % of volumes."
    )
    report.heading("Figures of the test volumes")
    report.table([{"figure": key.replace("_", " "), "value": _text(value)} for key, value in summary.items()])
    report.heading("Confusion, in percent of each true class")
    tables = {"by the slice alone": found["confusion_raw"], "decided": found["confusion_decided"]}
    report.figure("confusion", confusion_figure(tables), "Rows: true class; columns: found.")
    report.figure(
        "reliability",
        reliability(found["probabilities"], found["truth"]),
        f"Calibration on the test slices, temperature {contract.decision.temperature:.2f}.",
    )
    report.heading("Volumes")
    worst = sorted(range(len(test)), key=lambda index: -found["rows"][index]["decided_wrong"])
    longest = sorted(range(len(test)), key=lambda index: -len(set(test[index].classes)))
    for index in dict.fromkeys([*longest[:2], *worst[:3]]):
        row = found["rows"][index]
        figure = strip(test[index].stack, found["raw"][index], found["decided"][index], test[index].classes)
        caption = f"{row['subject']}: {row['decided_wrong']} of {row['slices']} slices wrong."
        report.figure(f"strip_{index:03d}_{row['subject']}", figure, caption)
    report.training(history)
    report.heading("Config")
    report.listing(config_text(config))
    return report.write()


def write_evaluation(to, contract, logits_of, test):
    """Measure volumes into a folder of its own.

    Args:
        to: Folder.
        contract: `FovContract`.
        logits_of: Function `(slices) -> logits`.
        test: List of `LabelledStack`.

    Returns:
        Dict: the summary.
    """
    found = measure(contract.decision, logits_of, test)
    _write_tables(to, found, contract.simulated)
    for name, figure in (
        ("confusion", confusion_figure({"slice alone": found["confusion_raw"], "decided": found["confusion_decided"]})),
        ("reliability", reliability(found["probabilities"], found["truth"])),
    ):
        with whole_file(to / f"{name}.png") as temporary:
            temporary.write_bytes(png(figure))
    return found["summary"]


def measure(decision, logits_of, test):
    """Figures of volumes.

    Args:
        decision: `VolumeDecision`.
        logits_of: Function `(slices) -> logits`.
        test: List of `LabelledStack`; those whose slices are all ignored are left out.

    Returns:
        Dict of `volumes`, `rows`, `summary`, `raw` (probabilities of each volume), `decided`, and over all known slices
        `truth`, `probabilities`, `confusion_raw`, `confusion_decided`.
    """
    test = [one for one in test if np.any(one.classes >= 0)]
    rows, raw, decided, pairs = [], [], [], []
    for one in progress(test, "evaluating"):
        logits = logits_of(one.slices)
        raw.append(decision.probabilities(logits))
        decided.append(decision(logits, one.stack.spacing_mm))
        slices = decision.slices(decided[-1])
        rows.append(volume_row(one, raw[-1].argmax(axis=1), decided[-1], slices))
        known = one.classes >= 0
        pairs.append((one.classes[known], raw[-1][known], slices[known]))
    truth, probabilities, slices = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return {
        "volumes": test,
        "rows": rows,
        "summary": summarise_volumes(rows),
        "raw": raw,
        "decided": decided,
        "truth": truth,
        "probabilities": probabilities,
        "confusion_raw": confusion(truth, probabilities.argmax(axis=1)),
        "confusion_decided": confusion(truth, slices),
    }


def _write_tables(path, found, simulated):
    content = {"simulated_training": simulated, **found["summary"], **_confusions(found)}
    write_json(path / "metrics.json", content)
    write_csv(path / "volumes.csv", [{key: _cell(value) for key, value in row.items()} for row in found["rows"]])


def _confusions(found):
    return {
        name: {CLASSES[index]: table.tolist() for index, table in enumerate(found[name])}
        for name in ("confusion_raw", "confusion_decided")
    }


def _cell(value):
    return " ".join(f"{one:g}" for one in value) if isinstance(value, list) else value


def _text(value):
    return ", ".join(f"{one:.4g}" for one in value) if isinstance(value, list) else f"{value:.4g}"
