#!/usr/bin/env bash
# Everything that CI checks beside the tests: lint, format, types, import rules, and that Dagster can load the
# code location. Stops at the first failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
check() {
    printf '\n== %s\n' "$*"
    ".venv/bin/$1" "${@:2}"
}
check ruff check
check ruff format --check
check mypy
check lint-imports
check dagster definitions validate -w workspace.yaml
