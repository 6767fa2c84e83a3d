"""Steps that smooth a field against a penalty of its derivatives. Fields are `(batch, rank, i, j[, k])`.

Each is an explicit step of gradient descent. A weight of 1 is a step of one over a bound of the largest eigenvalue of
the penalty's second derivative, half of the largest stable step or less.
"""

from keras import ops

from nets.ops.stencil import backward, central, forward


def relax_gradient(field, weight):
    """Against the squared first derivatives (diffusion): `u + w / (4 rank) Laplace u`.

    Args:
        field: Tensor `(batch, rank, i, j[, k])`.
        weight: 0 to 1.

    Returns:
        Tensor of the same shape.
    """
    return field + weight / (4.0 * _rank(field)) * _laplacian(field)


def relax_bending(field, weight):
    """Against the squared second derivatives (bending energy): `u - w / (4 rank)^2 Laplace Laplace u`.

    Args:
        field: Tensor `(batch, rank, i, j[, k])`.
        weight: 0 to 1.

    Returns:
        Tensor of the same shape.
    """
    return field - weight / (4.0 * _rank(field)) ** 2 * _laplacian(_laplacian(field))


def relax_elasticity(field, weight):
    """Against linear elasticity with Lame's constants mu = lambda = 1: `u + w / (6 rank) (Laplace u + 2 grad div u)`.

    Args:
        field: Tensor `(batch, rank, i, j[, k])`.
        weight: 0 to 1.

    Returns:
        Tensor of the same shape.
    """
    rank = _rank(field)
    divergence = sum(central(field[:, axis : axis + 1], axis + 2) for axis in range(rank))
    slopes = ops.concatenate([central(divergence, axis + 2) for axis in range(rank)], axis=1)
    return field + weight / (6.0 * rank) * (_laplacian(field) + 2.0 * slopes)


PENALTIES = {"gradient": relax_gradient, "bending": relax_bending, "elasticity": relax_elasticity}


def _laplacian(field):
    """Sum of second differences, the field going on unchanged beyond the border."""
    return sum(forward(field, axis) - backward(field, axis) for axis in range(2, len(field.shape)))


def _rank(field):
    return len(field.shape) - 2
