"""Manifests, the ledger of versions, their partitions and releases."""
