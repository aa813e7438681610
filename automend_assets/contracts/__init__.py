"""What a dataset promises, and the suites, checks, anomalies and bias slices derived from it."""
