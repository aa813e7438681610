"""Finds documents that repeat others: the same bytes, the same once normalised, or nearly the same words.

A pure room: frames and arrays in, frames out. `deduplicate.py` is the way in; `files.py` the same for files.
Not here: what a dataset does with the answer.
"""
