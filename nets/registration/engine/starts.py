"""Where the search for an affine transform begins."""

import math

import numpy as np

from nets.registration.engine.freedom import Transform

ROTATIONS = {2: 72, 3: 600}
SCALES = (0.7, 1.4)
BY_HEADER = 3  # how many of the starts keep the orientation that the headers say
PSI = 1.533751168755204288118041  # psi^4 = psi + 4


def starting_transforms(moving, fixed, moving_to_world, fixed_to_world, kind):
    """Transforms to begin with.

    Args:
        moving, fixed, moving_to_world, fixed_to_world, kind: As of `align`.

    Returns:
        List of `Transform`: the headers' placement; that with the centres of mass on each other; with the grids'
        centres on each other; and rotations about the centre of mass that cover all.
    """
    rank = fixed.ndim
    (centre, spread), (target, reach) = _moments(fixed, fixed_to_world), _moments(moving, moving_to_world)
    middle, goal = _middle(fixed, fixed_to_world), _middle(moving, moving_to_world)
    first = "rigid" if kind == "rigid" else "similarity"
    one, ones = np.eye(rank), np.ones(rank)
    starts = [Transform(first, one, ones, shift, centre) for shift in (0 * centre, target - centre, goal - middle)]
    scale = 1.0 if kind == "rigid" else np.clip(reach / spread, *SCALES)
    return starts + [Transform(first, turn, scale * ones, target - centre, centre) for turn in rotations(rank)]


def rotations(rank):
    """Rotations spread evenly over all.

    Returns:
        Array `(count, rank, rank)`; in 3D no rotation is further than about 26 degrees from the nearest.

    Reference:
        - Alexa, Super-Fibonacci spirals, CVPR 2022.
    """
    count = ROTATIONS[rank]
    if rank == 2:
        angles = 2 * math.pi * np.arange(count) / count
        return np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=-1).reshape(-1, 2, 2)
    places = np.arange(count) + 0.5
    small, large = np.sqrt(places / count), np.sqrt(1 - places / count)
    first, second = 2 * math.pi * places / math.sqrt(2), 2 * math.pi * places / PSI
    x, y, z, w = small * np.sin(first), small * np.cos(first), large * np.sin(second), large * np.cos(second)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _moments(image, to_world):
    """Centre of mass, and the root of the mean square distance from it."""
    mass, rank = image.sum(), image.ndim
    profiles = [image.sum(axis=tuple(other for other in range(rank) if other != axis)) for axis in range(rank)]
    centre = np.array([np.arange(len(line)) @ line for line in profiles]) / mass
    spread = [
        ((np.arange(len(line)) - middle) ** 2) @ line / mass for line, middle in zip(profiles, centre, strict=True)
    ]
    spacing = np.linalg.norm(to_world[:-1, :-1], axis=0)
    return to_world[:-1, :-1] @ centre + to_world[:-1, -1], math.sqrt(np.sum(np.array(spread) * spacing**2))


def _middle(image, to_world):
    return to_world[:-1, :-1] @ ((np.array(image.shape) - 1) / 2) + to_world[:-1, -1]
