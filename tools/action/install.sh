#!/usr/bin/env bash
# Installs flux, at the commit of the action and with the versions in its uv.lock, for the steps that follow.
set -euo pipefail

directory="$RUNNER_TEMP/flux"
"$PYTHON" -m venv "$directory"
scripts=$("$PYTHON" -c 'import sys, sysconfig; print(sysconfig.get_path("scripts", vars={"base": sys.argv[1]}))' "$directory")
"$scripts/python" -m pip install --quiet --disable-pip-version-check uv
UV_PROJECT_ENVIRONMENT="$directory" "$scripts/uv" sync --quiet --locked --inexact --no-editable --project "$GITHUB_ACTION_PATH"
echo "$scripts" >> "$GITHUB_PATH"

mkdir -p "$FLUX_HOME"
echo '*' > "$FLUX_HOME/.gitignore" # a step that commits all files leaves this directory out
"$scripts/flux" --version
