"""Simulated cohorts: seeded, with the truth kept."""
