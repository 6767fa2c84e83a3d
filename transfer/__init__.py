"""Adapting a segmentation network to a new population: poses, intensities, a gate, strategies."""
