"""Segmentation by deforming a template: shapes, poses, local fields, the network and its refinement."""

import nets  # noqa: F401 - before TensorFlow is loaded: it switches oneDNN on
