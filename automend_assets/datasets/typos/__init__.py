"""Interactions of the application to an embedding model that corrects typos."""
