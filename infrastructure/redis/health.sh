#!/bin/sh
# Whether Redis answers; the password goes through the environment, not through the arguments.
set -eu
if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
  REDIS_PASSWORD=$(cat "$REDIS_PASSWORD_FILE")
fi
REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -h 127.0.0.1 -p "${REDIS_PORT:-6379}" ping | grep -q PONG
