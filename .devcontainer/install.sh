#!/usr/bin/env bash
# Sets up .venv in the container: torch for the CPU first, so that pip does not bring CUDA; the rest as everywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python3 -m venv .venv
.venv/bin/python -m pip install "$(grep '^torch==' requirements.txt)" --index-url https://download.pytorch.org/whl/cpu
make .venv/.ready
# What a class would miss is printed; a container without pages is fine.
make ready || true
