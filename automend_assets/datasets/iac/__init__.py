"""Kubernetes manifests of the-stack-dedup to `apply_manifest` training records."""
