"""The datasets, one folder each; they never import each other."""
