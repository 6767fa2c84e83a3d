"""Topology, distances, alignment and mean shapes."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, zoom
from scipy.spatial.transform import Rotation

from segmentation.align import moments, similarity
from segmentation.signed_distance import signed_distance
from segmentation.template import (
    Template,
    _upright,
    has_shape,
    labelled,
    mean_template,
    shape_topologies,
    structures_of,
    subject_template,
)
from segmentation.topology import Topology, topology
from tests.segmentation.shapes import dice, ellipsoid, grid, pear

TURN = Rotation.from_euler("XYZ", [12, -18, 25], degrees=True).as_matrix()


def test_a_known_similarity_is_found():
    """Shapes that are not brought together average to a blur."""
    still = pear(36)
    moved = pear(36, 1.2, TURN, (2.0, -1.5, 1.0))
    matrix, left = similarity(signed_distance(moved), signed_distance(still))
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    angle = np.degrees(Rotation.from_matrix(TURN.T @ matrix[:3, :3] / scale).magnitude())
    assert scale == pytest.approx(1.2, abs=0.04)
    assert angle < 5
    assert left < 0.5


def test_the_mean_of_moved_copies_is_the_shape():
    """The mean template must have the shape of its subjects, their mean size, and lie in the middle."""
    rng = np.random.default_rng(1)
    scales = np.exp(rng.normal(0, 0.15, 5))
    masks = [
        pear(36, scale, Rotation.from_rotvec(rng.normal(0, 0.3, 3)).as_matrix(), rng.normal(0, 1.5, 3))[..., None]
        for scale in scales
    ]
    template = mean_template(masks, 2.0, (1,))
    found = template.distances[0, ..., 0] > 0
    centre, covariance = moments(found)
    assert np.abs(centre).max() < 0.3
    wanted = np.exp(np.mean([np.log(mask.sum()) for mask in masks]))
    assert found.sum() == pytest.approx(wanted, rel=0.06)
    assert template.topologies() == (Topology(1, 0, 0),)
    # Sizes about the axes do not depend on how it lies.
    same = np.linalg.eigvalsh(moments(pear(36, np.exp(np.log(scales).mean())))[1])
    assert np.linalg.eigvalsh(covariance) == pytest.approx(same, rel=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_shape_is_set_upright_by_the_least_turn(seed):
    """Turned further than it must be, each subject's pose is laid the wrong way round."""
    group, rng = Rotation.create_group("O"), np.random.default_rng(seed)
    while True:  # two axes of the shape lie nearest to the same axis of the cube, and the least turn goes back
        turn = Rotation.random(rng=rng)
        nearest = np.abs(turn.as_matrix()).argmax(axis=0)
        if len(set(nearest)) < 3 and (group * turn).magnitude().argmin() == group.magnitude().argmin():
            break
    turned = signed_distance(ellipsoid(36, (4, 9, 6), turn.as_matrix()))
    assert dice(_upright(turned[..., None])[..., 0] > 0, ellipsoid(36, (4, 9, 6))) > 0.9


def test_the_mean_of_rods_that_miss_each_other():
    """Vessels and nerves: where no two meet, their mean distance is negative everywhere."""
    rng, masks = np.random.default_rng(0), []
    for _ in range(6):
        bend = rng.normal(0, 0.1, 2)
        places = grid(32)
        along = places[..., 0]
        off = np.stack([places[..., 1 + axis] - bend[axis] * along**2 / 4 for axis in range(2)])
        masks.append(((np.hypot(*off) < 1.6) & (np.abs(along) < 11))[..., None])
    template = mean_template(masks, 1.0, (1,))
    assert (template.labelled() > 0).sum() == pytest.approx(np.mean([mask.sum() for mask in masks]), rel=0.25)


def test_the_topology_of_a_template_is_that_between_its_voxels():
    """Two blocks that one voxel joins fall apart in an image of finer voxels, where the voxel is barely inside."""
    distances = np.full((1, 12, 12, 12, 1), -3.0, "float32")
    distances[0, 2:5, 4:8, 4:8] = distances[0, 6:9, 4:8, 4:8] = 3.0
    distances[0, 5, 5, 5] = 0.1
    assert topology(distances[0, ..., 0] > 0).components == 1
    assert Template(distances, 1.0, (1,)).topologies()[0].components == 2


def test_groups_of_shapes_have_means_of_their_own():
    """A bank that mixes long and round shapes into one holds neither."""
    long = [ellipsoid(30, (9 * s, 4 * s, 4 * s))[..., None] for s in (0.95, 1.0, 1.05)]
    round_ = [ellipsoid(30, (5.5 * s, 5.0 * s, 5.2 * s))[..., None] for s in (0.95, 1.0, 1.05)]
    template = mean_template([*long, *round_], 1.0, (1,), members=2)
    assert len(template.distances) == 2
    ratios = []
    for member in template.distances:
        values = np.linalg.eigvalsh(moments(member[..., 0] > 0)[1])
        ratios.append(np.sqrt(values[-1] / values[0]))
    assert max(ratios) > 1.9
    assert min(ratios) < 1.3
    with pytest.raises(ValueError, match="at least as many shapes"):
        mean_template(long, 1.0, (1,), members=4)
    with pytest.raises(ValueError, match="3 shapes that differ. Received: 1, of 4"):
        mean_template([long[0]] * 4, 1.0, (1,), members=3)


def test_a_bank_is_posed_as_all_its_members_mixed():
    """Poses are of the shape that is deformed at the start, not of whichever member is the first."""
    long, flat = (signed_distance(ellipsoid(24, radii))[None, ..., None] for radii in ((9, 4, 4), (5, 5, 3)))
    both = Template(np.concatenate([long, flat]), 1.0, (1,)).whole()
    assert np.array_equal(both, Template(np.concatenate([flat, long]), 1.0, (1,)).whole())
    assert Template(flat, 1.0, (1,)).whole().sum() < both.sum() < Template(long, 1.0, (1,)).whole().sum()


@pytest.mark.parametrize(
    ("shape", "can_be"), [((3, 3, 3), True), ((2, 2, 2), False), ((10, 2, 1), False), ((16, 16, 16), False)], ids=str
)
def test_what_can_be_a_template(shape, can_be):
    """One mask of a voxel or two among thirty ended the building of a template with a division by zero."""
    mask = np.zeros((16, 16, 16, 1), bool)
    mask[tuple(slice(0, count) for count in shape)] = True
    mask = np.roll(mask, (16 - np.array(shape)) // 2, axis=(0, 1, 2))
    assert has_shape(mask) == can_be


def test_the_subject_nearest_to_all_is_taken():
    """An odd subject as the template would have to be undone in every image."""
    masks = [ellipsoid(24, (6, 4, 4), centre=(shift, 0, 0))[..., None] for shift in (-1, 0, 2)]
    masks.append(ellipsoid(24, (10, 2, 2))[..., None])
    template, chosen = subject_template(masks, 1.0, (5,))
    assert chosen != 3
    assert dice(template.distances[0, ..., 0] > 0, ellipsoid(24, (6, 4, 4))) > 0.9
    assert set(np.unique(template.labelled())) == {0, 5}


@pytest.mark.parametrize("radii", [(9, 3.2, 3.2), (9, 5, 5)], ids=str)
def test_faces_that_differ_between_subjects_do_not_tear_the_mean(radii):
    """Where one subject's front begins in another's back the mean would be of neither, and the organ in two parts."""
    masks = []
    for shift in (-3, -1.5, 0, 1.5, 3):
        both = ellipsoid(26, radii)
        front = both & (grid(26)[..., 0] > shift)
        masks.append(np.stack([front, both & ~front], axis=-1))
    template = mean_template(masks, 1.0, (1, 2))
    assert template.topologies() == (Topology(1, 0, 0),) * 3
    assert dice(template.labelled() > 0, ellipsoid(26, radii)) > 0.9


def test_neighbours_leave_no_gap():
    """A crack between two structures, seen on a fine grid, would be a tunnel or a cavity of the whole."""
    both = ellipsoid(24, (8, 5, 5))
    front = both & (grid(24)[..., 0] > 0.7)
    template, _ = subject_template([np.stack([front, both & ~front], axis=-1)], 1.0, (1, 2))
    assert template.topologies() == (Topology(1, 0, 0),) * 3
    fine = np.stack([zoom(template.distances[0, ..., index], 3, order=1) for index in range(2)], axis=-1)
    mask = labelled(fine, (1, 2))
    assert topology(mask > 0) == Topology(1, 0, 0)
    assert topology(mask == 1) == topology(mask == 2) == Topology(1, 0, 0)
    assert dice(template.labelled() > 0, both) > 0.95


def test_neighbours_leave_no_gap_wherever_they_are_read():
    """Distances of 0 on an uneven face fall below it between voxels: most real hippocampi had tunnels."""
    rng, masks = np.random.default_rng(2), []
    for _ in range(6):
        both = ellipsoid(26, (9, 5, 4) + rng.uniform(-0.5, 0.5, 3))
        i, j, k = np.moveaxis(grid(26), -1, 0)
        front = both & (i + 0.4 * j - 0.3 * k + rng.uniform(-2, 2) > np.sin(0.8 * j + rng.uniform(0, 6)))
        masks.append(np.stack([front, both & ~front], axis=-1))
    template = mean_template(masks, 1.0, (1, 2))
    wanted = np.mean([mask.any(axis=-1).sum() for mask in masks])
    assert template.whole().sum() == pytest.approx(wanted, rel=0.03)
    for turn in Rotation.random(20, rng=3).as_matrix():
        places = np.moveaxis(grid(52) @ turn / 2 + 12.5, -1, 0)
        read = [
            map_coordinates(item, places, order=1, mode="nearest") for item in np.moveaxis(template.distances[0], -1, 0)
        ]
        assert shape_topologies(structures_of(labelled(np.stack(read, axis=-1), (1, 2)), (1, 2))) == (
            Topology(1, 0, 0),
        ) * 3  # fmt: skip


@pytest.mark.parametrize("of", ["mean", "subject"])
def test_a_template_that_is_read_between_voxels_has_the_volume_of_its_shapes(of):
    """Linear reading cuts round shapes off: hippocampi were segmented a seventh too small."""
    masks = [ellipsoid(24, (8 * s, 2.6 * s, 2.6 * s))[..., None] for s in (0.97, 1.0, 1.03)]
    wanted = np.mean([mask.sum() for mask in masks])
    if of == "mean":
        template = mean_template(masks, 1.0, (1,))
    else:
        template, chosen = subject_template(masks, 1.0, (1,))
        wanted = masks[chosen].sum()
    read = map_coordinates(
        template.distances[0, ..., 0], np.moveaxis(grid(24) + 11.5 + [0.4, 0.5, 0.3], -1, 0), order=1
    )
    assert np.sum(read > 0) == pytest.approx(wanted, rel=0.05)
    assert template.whole().sum() == pytest.approx(wanted, rel=0.02)


def test_thin_structures_keep_their_volume():
    """Thin shapes that do not quite meet cancel in the mean: a caudate nucleus was left with a third of its volume."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(6):
        thick = ellipsoid(32, (8, 6, 6), centre=(-4, 0, 0))
        thin = ellipsoid(32, (1.6, 8, 3), centre=(8, *rng.uniform(-1, 1, 2)) + rng.uniform(-1.2, 1.2, 3) * [1, 0, 0])
        masks.append(np.stack([thick & ~thin, thin & ~thick], axis=-1))
    found = mean_template(masks, 2.0, (1, 2)).labelled()
    for index in range(2):
        wanted = np.mean([mask[..., index].sum() for mask in masks])
        assert np.sum(found == index + 1) == pytest.approx(wanted, rel=0.1)


def test_a_mean_of_which_nothing_is_left_is_said():
    """Turned upright, structures of a few voxels fall below the surface: the next step divided by 0."""
    places, masks = np.stack(np.meshgrid(*[np.arange(16.0)] * 3, indexing="ij"), axis=-1), []
    rng = np.random.default_rng(0)
    for _ in range(3):
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        middles = [7.5 + side * axis + rng.uniform(-0.4, 0.4, 3) for side in (2.2, -2.2)]
        masks.append(np.stack([((places - middle) ** 2).sum(axis=-1) < 1.4**2 for middle in middles], axis=-1))
    with pytest.raises(ValueError, match="nothing is left of the mean shape"):
        mean_template(masks, 4.0, [1, 2])
