"""Regions of a volume as JSON, table rows and a picture."""

from app.files import whole_file, write_json
from app.reporting.figures import png
from app.systems.fov.axial import axial_stack
from app.systems.fov.cohort import with_context
from app.systems.fov.figures import strip
from app.systems.fov.regions import CLASSES

# What BodyPartExamined may say of a region (DICOM PS3.16 annex L).
PARTS = {
    "legs": {"LEG", "THIGH", "KNEE", "CALF", "ANKLE", "FOOT", "LOWLIMB", "EXTREMITY", "LEGS"},
    "pelvis": {"PELVIS", "HIP", "PROSTATE", "BLADDER", "UTERUS", "RECTUM", "ABDOMENPELVIS", "CHESTABDPELVIS"},
    "abdomen": {"ABDOMEN", "LIVER", "KIDNEY", "PANCREAS", "SPLEEN", "ABDOMENPELVIS", "CHESTABDOMEN", "CHESTABDPELVIS"},
    "chest": {"CHEST", "THORAX", "HEART", "LUNG", "BREAST", "CHESTABDOMEN", "NECKCHEST", "CHESTABDPELVIS"},
    "head": {"HEAD", "BRAIN", "SKULL", "NECK", "HEADNECK", "ORBIT", "NECKCHEST"},
    "spine": {"SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "CTSPINE", "TLSPINE", "LSSPINE"},
}
CERTAIN = 0.5


def save_decision(volume, predictor, to):
    """Decide a volume, and write `NAME.json` (regions with slices of the file, millimetres, confidence, intervals;
    orientation; flags) and `NAME.png`.

    Args:
        volume: `Input`.
        predictor: `FovPredictor`.
        to: Folder for the results.

    Returns:
        List of dicts, one per region.

    Raises:
        UserError: If the volume cannot be read.
    """
    contract, decision = predictor.contract, predictor.contract.decision
    stack = axial_stack(volume.volume(), contract.size, contract.intensity, volume.path)
    logits = predictor.logits(with_context(stack, contract.context))
    decided = decision(logits, stack.spacing_mm)
    content = describe(stack, decided, volume.series)
    known = {"simulated_training": contract.simulated, "interval_share": decision.interval_share}
    write_json(to / f"{volume.name}.json", {"image": str(volume.path), **known, **content})
    figure = strip(stack, decision.probabilities(logits), decided)
    with whole_file(to / f"{volume.name}.png") as temporary:
        temporary.write_bytes(png(figure))
    named = ", ".join(f"{region['name']} ({region['confidence']:.2f})" for region in content["regions"]) or "nothing"
    print(f"{volume.name}: {named}" + "".join(f"; {flag}" for flag in content["flags"]), flush=True)
    short = ("name", "first_slice", "last_slice", "start_mm", "stop_mm", "confidence")
    common = {"volume": volume.name, "image": str(volume.path), "simulated_training": contract.simulated}
    flags = {"flags": "; ".join(content["flags"])}
    return [{**common, **{key: region[key] for key in short}, **flags} for region in content["regions"]]


def describe(stack, decided, series=None):
    """A decided volume as JSON.

    Args:
        stack: `AxialStack`.
        decided: `Decided`.
        series: `DicomSeries` of the volume, or None.

    Returns:
        Dict: `regions` (slices counted along the file's axis along the body, heights in RAS millimetres),
        `orientation`, `spine_probability`, `reversed_log_odds`, `flags`, `per_slice` (probability of each class).
    """
    half = 0.5 * stack.spacing_mm
    edges = [*(stack.heights_mm - half), stack.heights_mm[-1] + half]
    regions = []
    for region in decided.regions:
        slices = (
            None if stack.indices is None else sorted((stack.indices[region.start], stack.indices[region.stop - 1]))
        )
        regions.append({
            "name": region.name,
            "first_slice": None if slices is None else int(slices[0]),
            "last_slice": None if slices is None else int(slices[1]),
            "start_mm": round(float(edges[region.start]), 2),
            "stop_mm": round(float(edges[region.stop]), 2),
            "confidence": round(region.confidence, 4),
            "start_interval_mm": [round(float(edges[place]), 2) for place in region.start_interval],
            "stop_interval_mm": [round(float(edges[place]), 2) for place in region.stop_interval],
            "cut_below": region.start == 0,
            "cut_above": region.stop == len(stack.slices),
        })  # fmt: skip
    return {
        "regions": regions,
        "orientation": stack.orientation,
        "axis": stack.axis,
        "spacing_mm": round(stack.spacing_mm, 3),
        "spine_probability": round(decided.spine, 4),
        "reversed_log_odds": round(decided.reversed, 3),
        "flags": _flags(stack, decided, series),
        "body_part_examined": series.body_part if series else None,
        "per_slice": {name: decided.marginals[:, index].round(3).tolist() for index, name in enumerate(CLASSES)},
    }


def _flags(stack, decided, series):
    flags = [*stack.flags, *(series.flags if series else [])]
    if decided.reversed > 2.0:
        flags.append("the body seems to lie the other way round than the header says: check the orientation")
    unsure = [region.name for region in decided.regions if region.confidence < CERTAIN]
    if unsure:
        flags.append(f"unsure of {', '.join(unsure)}")
    if not decided.regions:
        flags.append("no region of a body was found")
    said = (series.body_part if series else "").upper().replace(" ", "").replace("_", "")
    names = {region.name for region in decided.regions}
    meant = {name for name, terms in PARTS.items() if said in terms}
    if meant and not meant & names:  # a term that names none of these regions says nothing against them
        flags.append(f"BodyPartExamined says {said}, the image {', '.join(sorted(names)) or 'nothing'}")
    return flags
