"""Runs of curate as runs of MLflow."""
