#!/usr/bin/env bash
# Sets up, test servers and browser included, and runs the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh --test
exec .venv/bin/python -m pytest "$@"
