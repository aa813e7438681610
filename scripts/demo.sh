#!/usr/bin/env bash
# Sets up, cuts a version of every dataset from the bundled samples and materialises everything.
# Arguments go to `automend demo`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
exec .venv/bin/automend demo "$@"
