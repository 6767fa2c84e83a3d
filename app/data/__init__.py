"""Volumes, cohorts and batches."""
