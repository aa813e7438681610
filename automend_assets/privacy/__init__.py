"""Privacy: finds and replaces personal data and secrets in prose, code and configuration, in batches of Arrow strings.

Pure: no Dagster, no settings, no network. Findings hold places, never values.
"""
