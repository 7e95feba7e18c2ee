#!/bin/bash
# Formats the storage on the first start and becomes the broker. It uses nothing of the image but
# /opt/kafka, writes only to the data directory and /tmp, and needs no root.
set -euo pipefail
# Not a secret: it tells clusters apart.
: "${KAFKA_CLUSTER_ID:=VG91Y2hzdG9uZTAwMDAwMQ}"
: "${KAFKA_LISTEN:=0.0.0.0}"
: "${KAFKA_PORT:=9092}"
: "${KAFKA_ADVERTISED:=kafka:9092}"
export LOG_DIR=/tmp/kafka-logs
mkdir -p "$LOG_DIR"
{
  cat /etc/touchstone/server.properties
  echo "listeners=PLAINTEXT://$KAFKA_LISTEN:$KAFKA_PORT,CONTROLLER://127.0.0.1:9093"
  echo "advertised.listeners=PLAINTEXT://$KAFKA_ADVERTISED"
} > /tmp/server.properties
/opt/kafka/bin/kafka-storage.sh format --ignore-formatted \
  --cluster-id "$KAFKA_CLUSTER_ID" --config /tmp/server.properties
exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties
