#!/usr/bin/env bash
# Sets up and opens Dagster (web server and daemon) on 127.0.0.1:$PORT, 3000 by default. It has no login, so
# it listens on loopback only. Arguments go to `dagster dev`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
port="${PORT:-3000}"
.venv/bin/python - "$port" <<'PYTHON'
import socket, sys
try:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(sys.argv[1])))
except (OSError, ValueError, OverflowError) as error:
    sys.exit(f"ui: cannot listen on port {sys.argv[1]} ({error}); choose another: PORT=3001 make ui")
PYTHON
DAGSTER_HOME="$(.venv/bin/automend home | tail -n 1)"
export DAGSTER_HOME
printf 'ui: http://127.0.0.1:%s (stop with Ctrl-C)\n' "$port" >&2
# Dagster warns of every dagster.yaml in the working directory that is not $DAGSTER_HOME's, and of its own successor.
project=$PWD
export PYTHONWARNINGS='ignore:Function `dev_command` is superseded'
cd "$DAGSTER_HOME"
exec "$project/.venv/bin/dagster" dev -w "$project/workspace.yaml" -h 127.0.0.1 -p "$port" "$@"
