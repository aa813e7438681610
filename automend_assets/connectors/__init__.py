"""Dagster resources for the world outside the project."""
