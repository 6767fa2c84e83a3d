"""The way back of a registration: from the moving image's points to the fixed one's."""

import numpy as np

from app.notes import note
from app.training.run_folder import log
from app.transforms.fields import write_field
from app.transforms.files import field_on
from app.transforms.transform import Chain, Field, Linear

CHECKED = 20_000  # points


def write_inverse(pair, result, registrar, file):
    """Write the inverse of the whole warp as a displacement on the moving image's grid.

    The deformable part is inverted by the network's negative velocity, where it has one, else by a fixed point.

    Args:
        pair: `Pair`.
        result: `Registration`.
        registrar: `Registrar`; one with a velocity has `inverse`.
        file: Path.

    Returns:
        Dict of `inverse_residual_mm` (mean) and `largest_inverse_residual_mm`: how far from its beginning the way back
        and there ends, for points of the moving image that stay within the working grid; empty in 2D, where nothing is
        written.
    """
    moving, fixed = pair.volumes["moving"], pair.volumes["fixed"]
    if fixed.array.ndim == 2:
        note("inverse: written of volumes only; left out")
        return {}
    forward = Field.of_voxels(result.displacement, pair.grid.affine)
    placement = Linear(pair.placement.world(moving, fixed))
    by_velocity = registrar.inverse(result) if hasattr(registrar, "inverse") else None
    deformed = forward.inverse() if by_velocity is None else Field.of_voxels(by_velocity, pair.grid.affine)
    back = Chain((deformed, placement.inverse()))
    write_field(file, field_on(back, moving))
    apart = _apart(Chain((placement, forward)), back, moving, forward)
    log(
        f"inverse by {'a fixed point' if by_velocity is None else 'the negative velocity'}: back and there ends "
        f"{apart.mean():.3g} mm from its beginning on average, {apart.max():.3g} at most"
    )
    return {"inverse_residual_mm": float(apart.mean()), "largest_inverse_residual_mm": float(apart.max())}


def _apart(there, back, moving, forward):
    """Distances in mm; [0] where no point stays within."""
    rng, shape = np.random.default_rng(0), np.array(moving.array.shape)
    places = rng.uniform(0, shape - 1, (CHECKED, 3))
    points = places @ np.asarray(moving.affine, float)[:3, :3].T + np.asarray(moving.affine, float)[:3, 3]
    fixed = back(points)
    within = forward.within(forward.places(fixed))
    return np.linalg.norm(there(fixed[within]) - points[within], axis=1) if within.any() else np.zeros(1)
