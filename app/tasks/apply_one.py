"""Task `apply` for one list of transforms: move images, labels, points and surfaces."""

from pathlib import Path

import numpy as np

from app.config import config_text
from app.data.content import known_suffix
from app.data.read import read_labels, read_volume
from app.data.sound import not_finite
from app.data.volume import Volume
from app.data.write import WRITERS
from app.errors import UserError, list_problems
from app.flows.apply import Moving, move_all
from app.memory import free_bytes
from app.systems.registration.names import moved_name
from app.training.run_folder import RunFolder
from app.transforms.dicom import is_series
from app.transforms.files import check_writable, read_transform
from app.transforms.points import read_points
from app.transforms.surfaces import read_surface
from app.transforms.transform import Chain, Field

MOST_AXES = 4


def apply_one(config, dry_run=False, page=True):
    """Move everything, and write it; see `app.flows.apply`.

    Args:
        config: `ApplyConfig` without `pairs`.
        dry_run: Check and print only.
        page: Whether a page is made.

    Raises:
        UserError: If any file or value is wrong: all that is wrong with the files is listed before anything is written.
    """
    folder = RunFolder(config.output)
    folder.check(config, ("output",))
    problems = []
    chain = _chain(config, problems)
    parts = {
        "images": _all(config.images, lambda path: _image(path, config.nan), problems),
        "labels": _all(config.labels, _labels, problems),
        "points": _all(config.points, read_points, problems),
        "surfaces": _all(config.surfaces, read_surface, problems),
    }
    reference = _all([config.reference], lambda path: _image(path, config.nan), problems) if config.reference else {}
    _check_names(config, problems)
    list_problems(problems)
    grid = reference.get(config.reference) or _grid(chain, parts, config)
    _check(config, chain, parts, grid)
    if dry_run:
        return _describe(config, grid)
    folder.open(config)
    move_all(config, folder, chain, grid, Moving(**parts), page)


def _all(paths, read, problems):
    """Dict from path to what was read; what could not be is added to the problems."""
    results = {}
    for path in paths:
        try:
            results[path] = read(path)
        except UserError as error:
            problems += error.lines_naming(path)
    return results


def _chain(config, problems):
    """The config's transforms as one, inverses taken."""
    steps = []
    for each in config.transforms:
        try:
            sides = {side: read_volume(getattr(each, side)) for side in ("moving", "fixed") if getattr(each, side)}
            part = read_transform(each.file, each.kind, **sides)
            steps += (part.inverse() if each.inverse else part).steps
            if config.points or config.surfaces:
                part.inverse()  # points need it
        except UserError as error:
            problems += error.lines_naming(each.file)
    return Chain(tuple(steps)).joined()


def _image(path, nan):
    volume = read_volume(path, nan)
    list_problems([f"{path}: {problem}" for problem in not_finite(volume.array)])
    if not 2 <= volume.array.ndim <= MOST_AXES:
        raise UserError(f"{path}: {volume.array.ndim} axes; expected an image of 2 or 3, or of 3 with frames")
    return volume


def _labels(path):
    volume = read_labels(path)
    if volume.array.ndim not in (2, 3):
        raise UserError(f"{path}: {volume.array.ndim} axes; expected a label map of 2 or 3")
    return volume


def _grid(chain, parts, config):
    """Where results lie without a reference: on the grid of the last field, else of the first image."""
    fields = [step for step in chain.steps if isinstance(step, Field)]
    if fields:  # the last moves the image last: its grid is the fixed image's
        field = fields[-1]
        empty = np.broadcast_to(np.uint8(0), field.shape[:2] if field.flat else field.shape)
        return Volume(empty, field.affine)
    volumes = [*parts["images"].values(), *parts["labels"].values()]
    if volumes:
        return volumes[0]
    if config.composite and known_suffix(Path(config.composite)):
        raise UserError("reference: missing; name the image on whose grid the composite is written")
    if any(path.suffix not in (".gii", ".stl") for path in config.surfaces):
        raise UserError("reference: missing; surfaces of FreeSurfer name the grid that they belong to, give its image")
    return None


def _check(config, chain, parts, grid):
    problems = []
    if config.composite:
        try:
            check_writable(config.output / config.composite, chain)
        except UserError as error:
            problems += error.problems
        if config.composite.lower().endswith(".dcm"):
            sides = (config.images[:1] or [None])[0], config.reference
            if None in sides or not all(is_series(side) for side in sides) or grid.array.ndim != 3:
                problems.append(
                    f"composite: {config.composite} names patient and frames of reference; give the moving image under "
                    "`images` and the fixed one as `reference`, both of DICOM"
                )
    for path, volume in (*parts["images"].items(), *parts["labels"].items()):
        if grid is not None and min(volume.array.ndim, 3) != min(grid.array.ndim, 3):
            problems.append(
                f"{path}: {volume.array.ndim}D, but the grid of the results is {grid.array.ndim}D; give two of one kind"
            )
    list_problems(problems)
    if grid is not None:
        frames = max((volume.array.shape[3] for volume in parts["images"].values() if volume.array.ndim > 3), default=1)
        needed = int(np.prod(grid.array.shape[:3])) * 8 * frames
        if needed > free_bytes():
            raise UserError(
                f"reference: {' x '.join(map(str, grid.array.shape[:3]))} voxels "
                f"need {needed / 2**30:.1f} GiB of memory, "
                f"{free_bytes() / 2**30:.1f} are free; name a coarser one"
            )


def _check_names(config, problems):
    """Two files of one kind must not be written under one name."""
    for kind in ("images", "labels", "points", "surfaces"):
        paths = getattr(config, kind)
        names = [path.name for path in paths]
        problems += [
            f"{kind}: {name} is the name of {names.count(name)} files, whose results would overwrite each other; move "
            "them in runs of their own"
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
    for path in (*config.images, *config.labels) if config.names == "bids" else ():
        try:
            moved_name(path, config.reference)
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    for path in (*config.images, *config.labels):
        if known_suffix(path) is None and path.is_file():
            continue  # its reader has said so
        if known_suffix(path) in (".mhd", ".nhdr", ".hdr"):
            problems.append(f"{path}: images are not written so; save it as one of {', '.join(WRITERS)}")


def _describe(config, grid):
    print(config_text(config))
    if grid is not None:
        print(f"results: {' x '.join(map(str, grid.array.shape[:3]))} voxels")
    print("dry run: nothing was written")
