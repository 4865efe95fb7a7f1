#!/bin/bash
# A PostgreSQL server with its files in FOLDER, and pgbench at work on it, until killed: pgbench-work.sh FOLDER
set -u
bin=$(echo /usr/lib/postgresql/*/bin)
sockets=$(mktemp -d /tmp/clusterd-pg.XXXXXX)
chown postgres "$1" "$sockets"
chmod 700 "$1"
cd "$1" || exit 1
as=(setpriv --reuid postgres --regid postgres --clear-groups)
[[ -e $1/PG_VERSION ]] || "${as[@]}" "$bin/initdb" -D "$1" -A trust || exit 1
rm -f "$1/postmaster.pid"
"${as[@]}" "$bin/postgres" -D "$1" -c listen_addresses= -k "$sockets" &
until "${as[@]}" "$bin/pg_isready" -q -h "$sockets"; do sleep 0.2; done
"${as[@]}" "$bin/pgbench" -h "$sockets" -i -s 2 -q postgres
"${as[@]}" "$bin/pgbench" -h "$sockets" -c 2 -T 3600 postgres
