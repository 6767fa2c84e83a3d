"""Spatial transforms: of files, chained, inverted, applied to images, labels, points and surfaces."""
