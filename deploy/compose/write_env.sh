#!/bin/sh
# Write .env for docker-compose.yml: a new secret for every part that has one. Never overwrites.
#   deploy/compose/write_env.sh [FILE] [PROFILES]
set -eu

file=${1:-.env}
profiles=${2:-cpu}

if [ -e "$file" ]; then
    echo "$file is there already, and its secrets are in use. Move it away to get new ones." >&2
    exit 1
fi

# 24 random bytes as 48 hexadecimal digits: nothing that a URL or a shell would have to quote.
secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# Docker starts no container whose limit is above what the machine has. (`nproc` would take
# OMP_NUM_THREADS for the number of cores.)
cores=$(getconf _NPROCESSORS_ONLN)
[ "$cores" -ge 2 ] || echo "docker-compose.yml needs 2 CPU cores; this machine has $cores." >&2
[ "$cores" -le 4 ] || cores=4

umask 077
cat >"$file" <<END
# Made by deploy/compose/write_env.sh. Any POTSTILL_ variable of .env.example may be added.
COMPOSE_PROFILES=$profiles
# How clients reach the API: the proxy's address, or that of a proxy in front of it.
POTSTILL_PUBLIC_URL=http://127.0.0.1:8080
# And the bucket, where they send and fetch the bytes of files by signed links.
POTSTILL_OBJECTS_PUBLIC_ENDPOINT=http://127.0.0.1:8333
# How many, for as long as this says so, and the CPU cores that each worker may use.
POTSTILL_API_REPLICAS=1
POTSTILL_WORKER_REPLICAS=1
POTSTILL_WORKER_CPUS=$cores
POSTGRES_PASSWORD=$(secret)
REDIS_PASSWORD=$(secret)
S3_ACCESS_KEY=$(secret | cut -c1-20)
S3_SECRET_KEY=$(secret)
GRAFANA_PASSWORD=$(secret)
# What Prometheus sends to /metrics.
POTSTILL_METRICS_TOKEN=$(secret)
END
echo "Wrote $file. Keep a copy where you keep secrets: PostgreSQL remembers its password."
