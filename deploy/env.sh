#!/bin/sh
# Writes .env with passwords of its own, unless there is one.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    for name in POSTGRES_PASSWORD RABBITMQ_PASSWORD; do
        if ! grep -q "^$name=[\"']*[^\"' ]" .env; then
            echo "fill in both passwords in .env" >&2
            exit 1
        fi
    done
    echo "there is a .env already; it is left as it is" >&2
    exit 0
fi
password() { od -An -N 18 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
trap 'rm -f .env.new' EXIT
sed -e "s/^POSTGRES_PASSWORD=$/&$(password)/" -e "s/^RABBITMQ_PASSWORD=$/&$(password)/" .env.example >.env.new
mv .env.new .env
echo "wrote .env" >&2
