#!/bin/sh
# Writes .env with passwords of its own, unless there is one.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo "there is a .env already; it is left as it is" >&2
    exit 0
fi
password() { od -An -N 18 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
sed -e "s/^POSTGRES_PASSWORD=$/&$(password)/" -e "s/^RABBITMQ_PASSWORD=$/&$(password)/" .env.example >.env
echo "wrote .env" >&2
