"""The report of a field-of-view run: slices, volumes, boundaries, examples."""

import numpy as np

from app.progress import progress
from app.systems.fov.figures import confusion_figure, reliability, strip
from app.systems.fov.metrics import confusion, summarise_volumes, volume_row
from app.systems.fov.regions import CLASSES
from app.systems.steps import Evaluation

SIMULATED = "Trained and measured on simulated bodies: no evidence of accuracy on patients."


def evaluation_of(predictor, stacks, history=()):
    """Measure test volumes.

    Args:
        predictor: `FovPredictor`.
        stacks: List of `LabelledStack`.
        history: List of dicts, one per epoch of the training.

    Returns:
        `Evaluation`.
    """
    contract = predictor.contract
    measured = measure(contract.decision, predictor.logits, stacks)
    summary = measured["summary"]

    def sections(report):
        report.text(
            f"{summary['volumes']} test volumes, {summary['slices']} slices: {100 * summary['raw_error']:.1f} % of "
            f"slices wrong by themselves, {100 * summary['decided_error']:.1f} % after the decision over the volume; "
            f"the set of regions is right in {100 * summary['regions_right']:.0f} % of volumes."
        )
        report.heading("Figures of the test volumes")
        report.table([{"figure": key.replace("_", " "), "value": _text(value)} for key, value in summary.items()])
        _confusion_section(report, measured, contract.decision.temperature)
        _volumes_section(report, measured)
        report.training(history)

    return Evaluation(
        metrics={"simulated_training": contract.simulated, **summary, **_confusions(measured)},
        rows=[{key: _cell(value) for key, value in row.items()} for row in measured["rows"]],
        title="Field of view",
        line=f"{100 * summary['raw_error']:.1f} % of slices wrong by themselves, "
        f"{100 * summary['decided_error']:.1f} % decided; regions right in {100 * summary['regions_right']:.0f} % of "
        f"{summary['volumes']} volumes",
        sections=sections,
        note=SIMULATED if contract.simulated else None,
    )


def _confusion_section(report, measured, temperature):
    report.heading("Confusion, in percent of each true class")
    tables = {"by the slice alone": measured["confusion_raw"], "decided": measured["confusion_decided"]}
    report.figure("confusion", confusion_figure(tables), "Rows: true class; columns: found.")
    report.figure(
        "reliability",
        reliability(measured["probabilities"], measured["truth"]),
        f"Calibration on the test slices, temperature {temperature:.2f}.",
    )


def _volumes_section(report, measured):
    report.heading("Volumes")
    stacks, rows = measured["volumes"], measured["rows"]
    worst = sorted(range(len(stacks)), key=lambda index: -rows[index]["decided_wrong"])
    longest = sorted(range(len(stacks)), key=lambda index: -len(set(stacks[index].classes)))
    for index in dict.fromkeys([*longest[:2], *worst[:3]]):
        row = rows[index]
        figure = strip(stacks[index].stack, measured["raw"][index], measured["decided"][index], stacks[index].classes)
        caption = f"{row['subject']}: {row['decided_wrong']} of {row['slices']} slices wrong."
        report.figure(f"strip_{index:03d}_{row['subject']}", figure, caption)


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
    test = [stack for stack in test if np.any(stack.classes >= 0)]
    rows, raw, decided, pairs = [], [], [], []
    for labelled in progress(test, "evaluating"):
        logits = logits_of(labelled.slices)
        raw.append(decision.probabilities(logits))
        decided.append(decision(logits, labelled.stack.spacing_mm))
        slices = decision.slices(decided[-1])
        rows.append(volume_row(labelled, raw[-1].argmax(axis=1), decided[-1], slices))
        known = labelled.classes >= 0
        pairs.append((labelled.classes[known], raw[-1][known], slices[known]))
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


def _confusions(measured):
    return {
        name: {CLASSES[index]: table.tolist() for index, table in enumerate(measured[name])}
        for name in ("confusion_raw", "confusion_decided")
    }


def _cell(value):
    return " ".join(f"{part:g}" for part in value) if isinstance(value, list) else value


def _text(value):
    return ", ".join(f"{part:.4g}" for part in value) if isinstance(value, list) else f"{value:.4g}"
