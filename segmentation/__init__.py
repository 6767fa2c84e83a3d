"""Segmentation by deforming a template; its systems are still to come."""
