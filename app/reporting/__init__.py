"""Metrics of cohorts, tables, figures and the HTML report."""
