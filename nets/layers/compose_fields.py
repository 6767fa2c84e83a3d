"""Composition as a layer."""

import keras

from nets.ops.affine import is_affine
from nets.ops.compose import compose


@keras.saving.register_keras_serializable(package="kerasmorph")
class ComposeFields(keras.layers.Layer):
    """One transform that does what several do one after another.

    Call arguments:
        transforms: List of displacements and affine matrices, in the order in which they are
            applied to an image.

    Input shape:
        List of `(batch, i, j[, k], 2 or 3)` in voxels, and `(batch, n, n + 1)`.

    Output shape:
        That of the last displacement; of a matrix if all are matrices.

    Raises:
        ValueError: If the list is empty or the ranks differ.

    Example:

    >>> ComposeFields()([affine_matrix, displacement])

    Reference:
        - VoxelMorph's `ComposeTransform`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, transforms):
        return compose(*transforms)

    def compute_output_spec(self, transforms):
        dense = [transform for transform in transforms if not is_affine(transform)]
        return keras.KerasTensor((dense or transforms)[-1].shape, dtype="float32")
