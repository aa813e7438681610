"""The datasets, one folder each; they never import each other. `pipeline.dataset` says what a folder provides."""
