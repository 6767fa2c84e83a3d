"""Affine transforms as layers."""

import keras
from keras import ops

from nets.ops.affine import affine_to_displacement, invert_affine, parameters_to_affine


@keras.saving.register_keras_serializable(package="kerasmorph")
class ParametersToAffine(keras.layers.Layer):
    """Affine matrix from translations, angles, scales and shears.

    `A = Rx Ry Rz S E`, angles in degrees; see `nets.ops.parameters_to_affine`.

    Args:
        rank: 2 or 3.

    Call arguments:
        parameters: In 3D 3 translations, 3 angles, 3 scales, 3 shears; the last ones may be
            left out.

    Input shape:
        `(batch, 3, 6, 9 or 12)`; in 2D `(batch, 2, 3, 5 or 6)`.

    Output shape:
        `(batch, rank, rank + 1)`.

    Raises:
        ValueError: If the number of parameters fits no prefix of the list.

    Example:

    >>> ParametersToAffine()(twelve_parameters)

    Reference:
        - VoxelMorph's `ParamsToAffineMatrix`.
    """

    def __init__(self, rank=3, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.rank = rank

    def call(self, parameters):
        return parameters_to_affine(parameters, self.rank)

    def compute_output_shape(self, parameters_shape):
        return (parameters_shape[0], self.rank, self.rank + 1)

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}


@keras.saving.register_keras_serializable(package="kerasmorph")
class InvertAffine(keras.layers.Layer):
    """Inverse of an affine transform.

    Call arguments:
        matrix: `[A | t]`.

    Input shape:
        `(batch, n, n + 1)`, n = 2 or 3.

    Output shape:
        Same as the input.

    Raises:
        ValueError: If it is no such matrix.

    Example:

    >>> InvertAffine()(matrix)

    Reference:
        - VoxelMorph's `InvertAffine`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, matrix):
        return invert_affine(matrix)

    def compute_output_shape(self, matrix_shape):
        return matrix_shape


@keras.saving.register_keras_serializable(package="kerasmorph")
class AffineToField(keras.layers.Layer):
    """Displacement of an affine transform about the centre of an image's grid.

    Call arguments:
        matrix: `[A | t]`, in voxels.
        image: Tensor whose grid is taken; its values are not used.

    Input shape:
        `(batch, n, n + 1)` and `(batch, i, j[, k], channels)`.

    Output shape:
        `(batch, i, j[, k], n)`, in voxels.

    Raises:
        ValueError: If matrix and image differ in rank.

    Example:

    >>> AffineToField()(matrix, fixed)

    Reference:
        - VoxelMorph's `AffineToDenseShift`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, matrix, image):
        return affine_to_displacement(matrix, ops.shape(image)[1:-1])

    def compute_output_shape(self, matrix_shape, image_shape):
        return (matrix_shape[0], *image_shape[1:-1], matrix_shape[1])
