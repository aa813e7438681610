"""Interactions: corrections that people made in the application, from the table in which they arrive."""
