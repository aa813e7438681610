"""AutoMend's data and retraining half: one Dagster asset graph from public corpora to training data and models."""
