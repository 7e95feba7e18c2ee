#!/bin/sh
# Starts Redis with the password out of the environment or of a file. It reaches the server on standard
# input: in no argument list and in no file.
set -eu
if [ -n "${REDIS_PASSWORD_FILE:-}" ]; then
  REDIS_PASSWORD=$(cat "$REDIS_PASSWORD_FILE")
fi
: "${REDIS_PASSWORD:?REDIS_PASSWORD is missing: run 'touchstone secrets init'}"
exec docker-entrypoint.sh redis-server - "$@" <<CONFIGURATION
$(cat /etc/touchstone/redis.conf)
bind ${REDIS_BIND:-* -::*}
requirepass $REDIS_PASSWORD
CONFIGURATION
