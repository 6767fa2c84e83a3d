"""The template of a config: read, or built from masks; refused where it has parts that nobody allowed."""

import numpy as np

from app.errors import UserError, list_problems, naming
from app.progress import progress
from app.systems.template.file import read_template
from segmentation.topology import WHOLE

NO_SHAPE = (
    "too thin for a template in voxels of {:g} mm, or all of the cube; change data.spacing_mm or data.size, or leave "
    "it out"
)


def find_template(config, train):
    """Read a template, or build it.

    Args:
        config: `TemplateConfig`.
        train: List of `CubeCase`, from some of which it may be built.

    Returns:
        `Template`.

    Raises:
        UserError: If a file is wrong, masks give no template, or a structure has several parts, tunnels or cavities
            that nobody allowed.
    """
    shape, data = config.template, config.data
    labels = tuple(data.labels or (1,))
    if shape.file is not None:
        template = read_template(shape.file, data.size, data.spacing_mm)
        if template.labels != labels:
            raise UserError(
                f"{shape.file}: has the labels {', '.join(map(str, template.labels))}, the config has "
                f"{', '.join(map(str, labels))}; set data.labels to the template's, or build it again"
            )
        named = str(shape.file)
    elif shape.kind == "mask":
        template, named = _from_mask(config, labels), str(shape.mask)
    else:
        template, named = _from_cohort(config, train, labels)
    list_problems(faults(template, config, named))
    return template


def faults(template, config, named):
    """Which structures of a template are not one part without tunnels and cavities: every mask would have them.

    Args:
        template: `Template`.
        config: `TemplateConfig`.
        named: What it is, for the lines.

    Returns:
        List of lines; empty where `template.allow_parts`.
    """
    if config.template.allow_parts:
        return []
    return [
        _fault(actual, value, named)
        for member in range(len(template.distances))
        for value, actual in zip(template.labels, template.topologies(member)[: len(template.labels)], strict=True)
        if actual != WHOLE
    ]


def _fault(actual, value, named):
    return (
        f"{named}: as a template label {value} has {actual}, and every mask would have them; correct it, take a "
        "smaller data.spacing_mm or another template.kind, or allow it with template.allow_parts=true"
    )


def _from_cohort(config, train, labels):
    from segmentation.template import NOTHING_LEFT, has_shape, mean_template, subject_template

    shape, spacing = config.template, config.data.spacing_mm
    order = np.random.default_rng(config.seed).permutation(len(train))[: shape.subjects]
    cases = [train[index] for index in sorted(order)]
    list_problems([
        f"{cube.case.mask}: {NO_SHAPE.format(spacing)}" for cube in cases if not has_shape(cube.mask)
    ])  # fmt: skip
    masks = [cube.mask for cube in cases]
    if shape.kind == "subject":
        template, chosen = subject_template(masks, spacing, labels)
        return template, str(cases[chosen].case.mask)
    members = shape.members if shape.kind == "bank" else 1
    if len(masks) < members:
        raise UserError(f"template.members: {members} templates from {len(masks)} masks; lower it or add subjects")

    def shown(shapes):
        return progress(shapes, "aligning shapes")

    try:
        template = mean_template(masks, spacing, labels, members, report=shown, seed=config.seed)
    except ValueError as error:
        if str(error) == NOTHING_LEFT:
            raise UserError(f"template: {NOTHING_LEFT}; its structures are {NO_SHAPE.format(spacing)}") from None
        if members == 1:
            raise
        raise UserError(f"template.members: the masks are not of {members} kinds; lower it") from None
    return template, f"the mean of {len(masks)} masks"


def _from_mask(config, labels):
    from app.data.cube import cube_grid, to_cube
    from app.data.read import read_labels
    from app.data.sound import check_three_axes
    from app.data.volume import Volume
    from segmentation.template import has_shape, subject_template
    from segmentation.topology import topology

    path, data = config.template.mask, config.data
    volume = read_labels(path)
    with naming(path):
        check_three_axes(volume)
    parts = [np.isin(volume.array, [label]) for label in labels]
    for value, part in zip(labels, parts, strict=True):
        if not part.any():
            raise UserError(f"{path}: nothing has the label {value}; an empty mask is no template")
        actual = topology(part)
        if actual != WHOLE and not config.template.allow_parts:
            raise UserError(_fault(actual, value, path))
    with naming(path):
        grid = cube_grid(Volume(np.any(parts, axis=0).astype("uint8"), volume.affine), data.size, data.spacing_mm)
    cubes = np.stack([to_cube(Volume(part.astype("float32"), volume.affine), grid) > 0.5 for part in parts], axis=-1)
    if not (cubes.any(axis=(0, 1, 2)).all() and has_shape(cubes)):
        raise UserError(f"{path}: {NO_SHAPE.format(data.spacing_mm)}")
    return subject_template([cubes], data.spacing_mm, labels)[0]
