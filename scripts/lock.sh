#!/usr/bin/env bash
# Renews requirements.lock from pyproject.toml: what users and developers need, every platform, hashes, no index
# addresses. The extra `dev` names the others, but for the heavy ones of the privacy engine.
# torch and the CUDA packages it names are left out: scripts/setup.sh installs torch's CPU build by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-.venv/bin/uv}"
compile() {
    "$uv" pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
        --no-annotate --no-header --no-emit-package torch --no-emit-package automend-assets \
        --prerelease if-necessary-or-explicit --quiet "$@"
}
mapfile -t accelerators < <(compile | grep -oE '^(nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+|triton)' | sort -u)
flags=()
for name in "${accelerators[@]}"; do flags+=(--no-emit-package "$name"); done
compile "${flags[@]}" --output-file requirements.lock >/dev/null
