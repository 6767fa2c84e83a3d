"""Everything that transforms move, as files: images and label maps on a grid, points and surfaces where they go."""

import dataclasses
import time

import numpy as np

from app.config import config_text
from app.data.content import known_suffix
from app.data.volume import Volume
from app.data.write import WRITERS, write_volume
from app.errors import naming
from app.files import write_json
from app.notes import note, said
from app.reporting.figures import middle_slices
from app.reporting.html import Report
from app.systems.registration.names import moved_name
from app.training.run_folder import log
from app.transforms.dicom import write_dicom_transform
from app.transforms.files import field_on, write_transform
from app.transforms.moved import moved_image, moved_labels
from app.transforms.tally import Tally
from app.transforms.transform import MISSED_MM, Chain

FAR = 0.5  # of a result, beyond the image, from which on it is said


@dataclasses.dataclass(frozen=True)
class Moving:
    """What is moved.

    Args:
        images: Dict from path to `Volume`.
        labels: Dict from path to `Volume`.
        points: Dict from path to `Places`.
        surfaces: Dict from path to `Surface`.
    """

    images: dict
    labels: dict
    points: dict
    surfaces: dict


def move_all(config, folder, chain, grid, moving, page=True):
    """Move and write.

    Results have the names of what was moved, in `images/`, `labels/`, `points/` and `surfaces/`; beside these
    `metrics.json` and `report.html`.

    Args:
        config: `ApplyConfig`.
        folder: `RunFolder`, open.
        chain: `Chain`, fixed to moving.
        grid: `Volume` whose grid images and label maps get; None where there are none.
        moving: `Moving`.
        page: Whether a page is made.

    Raises:
        UserError: If points have no inverse to go by.
    """
    started, rows, pictures = time.perf_counter(), [], []
    way, once = chain, None
    if len(moving.images) + len(moving.labels) > 1:  # the way of each voxel is computed once
        once = Tally()
        way = Chain((field_on(chain, grid, once),))
    for path, volume in moving.images.items():
        tally = Tally()
        array = moved_image(volume, way, grid, tally, config.interpolation)
        rows.append(_row(path, once or tally))
        _write(config, folder.path / "images", path, Volume(array, grid.affine, volume.header))
        pictures.append((path.name, array if array.ndim < 4 else array[..., 0]))
    for path, volume in moving.labels.items():
        tally = Tally()
        array = moved_labels(volume, way, grid, tally, config.label_interpolation)
        rows.append(_row(path, once or tally))
        _say_lost(path, volume, array)
        _write(config, folder.path / "labels", path, Volume(array, grid.affine, volume.header))
        pictures.append((path.name, array))
    if moving.points or moving.surfaces:
        back = chain.inverse()
        for path, places in moving.points.items():
            rows.append(_carry(path, places.points, back, places.write, folder.path / "points" / path.name))
        for path, surface in moving.surfaces.items():
            write = lambda to, vertices, of=surface: of.write(to, vertices, grid)  # noqa: E731
            rows.append(_carry(path, surface.vertices, back, write, folder.path / "surfaces" / path.name))
    if config.composite:
        log(f"all transforms as one: {_write_composite(config, folder, chain, grid, moving)}")
    for row in rows:
        _say(row)
    write_json(folder.path / "metrics.json", {"files": rows, "seconds": time.perf_counter() - started})
    if page:
        log(f"report: {_page(config, folder, rows, pictures, grid)}")


def _write_composite(config, folder, chain, grid, moving):
    path = folder.path / config.composite
    with naming(path):
        if path.suffix.lower() == ".dcm":
            write_dicom_transform(path, field_on(chain, grid), config.images[0], config.reference)
        else:
            write_transform(path, chain, next(iter(moving.images.values()), None), grid)
    return path


def result_name(path):
    """Name of the result of an image: its own, where such a format is written, else NIfTI."""
    suffix = known_suffix(path)
    return path.name if suffix in WRITERS else f"{path.name.split('.')[0]}.nii.gz"


def _write(config, folder, path, volume):
    to = folder / result_name(path)
    if config.names == "bids":
        to = folder / moved_name(path, config.reference)
        sources = [str(path), *(str(each.file) for each in config.transforms)]
        content = {"Description": "Moved by transforms, one resampling", "Sources": sources}
        content["SpatialReference"] = str(config.reference)
        write_json(to.with_name(to.name.replace(".nii.gz", ".json")), content)
    write_volume(to, volume)
    log(f"{path.name}: {to}")


def _carry(path, points, back, write, to):
    tally = Tally()
    write(to, back(points, tally))
    log(f"{path.name}: {to}")
    return _row(path, tally, len(points))


def _row(path, tally, points=None):
    return {
        "file": str(path), "points": points, "beyond_a_field": tally.beyond, "through_fields": tally.points,
        "inverse_missed": tally.missed, "inverse_residual_mm": tally.residual_mm,
    }  # fmt: skip


def _say(row):
    if row["beyond_a_field"] and row["points"] is not None:
        note(
            f"{row['file']}: {row['beyond_a_field']} points lie beyond a displacement field, which says nothing of "
            "them there; it left them, or went on as at its edge"
        )
    elif row["beyond_a_field"] > FAR * max(row["through_fields"], 1):
        note(f"{row['file']}: most of the result lies beyond a displacement field, which leaves it there as it is")
    if row["inverse_missed"]:
        note(
            f"{row['file']}: {row['inverse_missed']} points have no single inverse, for the field folds there, or it "
            f"is further than {MISSED_MM} mm off ({row['inverse_residual_mm']:.2g} mm at most)"
        )


def _say_lost(path, volume, array):
    lost = np.setdiff1d(np.unique(volume.array), np.unique(array))
    if len(lost):
        listed = ", ".join(map(str, lost[:10])) + (" ..." if len(lost) > 10 else "")
        note(f"{path}: label {listed} is nowhere in the result: beyond its grid, or smaller than its voxels")


def _page(config, folder, rows, pictures, grid):
    report = Report("Transforms applied", folder)
    report.text(
        f"{len(config.transforms)} transforms, the first first: "
        + "; ".join(f"{each.file.name}{' (inverse)' if each.inverse else ''}" for each in config.transforms)
    )
    report.table(rows) if rows else None
    for line in said():
        report.text(f"Note: {line}")
    if pictures:
        report.figure("moved", middle_slices(pictures, grid.spacing_mm), "Middle slices of what was moved")
    report.heading("Config")
    report.listing(config_text(config))
    report.machine()
    return report.write()
