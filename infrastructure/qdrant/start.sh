#!/bin/bash
# Starts Qdrant with the API key out of the environment or of a file; without one it does not start.
set -euo pipefail
if [ -n "${QDRANT_API_KEY_FILE:-}" ]; then
  QDRANT_API_KEY=$(cat "$QDRANT_API_KEY_FILE")
fi
: "${QDRANT_API_KEY:?QDRANT_API_KEY is missing: run 'touchstone secrets init'}"
export QDRANT__SERVICE__API_KEY="$QDRANT_API_KEY"
# The root file system is read-only.
export QDRANT_INIT_FILE_PATH=/qdrant/storage/.qdrant-initialized
cd /qdrant
# Not through the image's own script: that one ends at SIGTERM before the server has.
exec ./qdrant
