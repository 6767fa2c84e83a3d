"""Precision of a network's layers."""

import contextlib

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@contextlib.contextmanager
def layers_in(precision):
    """Layers made within this context compute in the given precision; weights stay float32.

    Layers that deal with fields and forces are float32 whatever the precision.

    Args:
        precision: "float32" or "bfloat16".

    Raises:
        ValueError: If the precision is unknown.
    """
    if precision not in POLICIES:
        raise ValueError(
            f"Received an invalid value for `precision`, expected one of {', '.join(POLICIES)}. "
            f"Received: precision={precision}"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def in_precision(model, precision):
    """The same model in another precision.

    Args:
        model: A registration model, whose config has a `precision`.
        precision: "float32" or "bfloat16"; None returns the model as it is.

    Returns:
        Model with the same weights; without optimiser where it is a new one.

    Raises:
        ValueError: If the precision is unknown.
    """
    if precision is None or precision == (config := model.get_config())["precision"]:
        return model
    other = type(model).from_config({**config, "precision": precision})
    other.set_weights(model.get_weights())
    return other
