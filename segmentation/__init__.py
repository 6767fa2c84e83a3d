"""Segmentation by deforming a template: shapes, poses, local fields, the network and its refinement."""
