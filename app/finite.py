"""Numbers that are none: what a network answers is looked at before anything of it is used or written."""

import numpy as np

from app.errors import UserError


def check_finite(array, what):
    """See that all numbers of a result are finite.

    Args:
        array: NumPy array.
        what: The result, for the message.

    Returns:
        The array.

    Raises:
        UserError: If one is NaN or infinite.
    """
    if array.dtype.kind == "f":
        count = array.size - np.count_nonzero(np.isfinite(array))
        if count:
            raise UserError(
                f"{what}: {count} of {array.size} numbers are NaN or infinite; the model's weights, or intensities far "
                "from those of its training, made them; nothing of it is written"
            )
    return array
