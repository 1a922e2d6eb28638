#!/bin/sh
# Runs in a container of the image "client": adds what makes a CFEngine hub of it, as a live single hub
# has it: the database server below the work directory, filled, under cfpostgres. Nothing is started
# here for good, and no identity is made.
set -eu
export DEBIAN_FRONTEND=noninteractive
work=/var/lib/cfengine3
pg=$work/state/pg

# A hub has its own database folder; the package's automatic one would take port 5432.
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
apt-get -q -y --no-install-recommends install postgresql python3-psycopg2
rm -f /var/cache/apt/archives/*.deb
bin=$(echo /usr/lib/postgresql/*/bin)
# The unit cf-postgres.service starts /usr/bin/pg_ctl, and only when it is there.
ln -s "$bin/pg_ctl" /usr/bin/pg_ctl

python3 /lab/image/keys.py "$work/ppkeys" 50

useradd --system --user-group --no-create-home --home-dir "$pg" --shell /bin/sh cfpostgres
useradd --system --user-group --no-create-home --home-dir "$work" --shell /usr/sbin/nologin cfapache
usermod --append --groups postgres cfpostgres # /var/run/postgresql belongs to that group
usermod --append --groups cfpostgres cfapache
install -d -o root -g cfpostgres -m 0750 "$pg"
install -d -o cfpostgres -g cfpostgres -m 0700 "$pg/data" "$pg/tmp" "$pg/backup"
install -o cfpostgres -g cfpostgres -m 0600 /dev/null /var/log/postgresql.log
chmod 0755 "$work" "$work/state"
install -d -o root -g postgres -m 2775 /run/postgresql

as_db() { su cfpostgres -s /bin/sh -c "cd /tmp && $1"; }
as_db "$bin/initdb -D $pg/data -E SQL_ASCII --locale=C --auth-local=peer --auth-host=scram-sha-256 >/dev/null"
# The shipped access file of a hub knows the local socket only; the last line is the operator's own.
cat >"$pg/data/pg_hba.conf" <<'HBA'
# TYPE  DATABASE        USER            ADDRESS                 METHOD
# "local" is for Unix domain socket connections only
local   all             all                                     peer
local   replication     all                                     peer
# our reporting job on the clients' network (ops team, ticket 4711): do not remove
hostssl cfdb            lab_writer      192.168.100.0/24        scram-sha-256
HBA
# Filled with next to no WAL and without waiting for the disk; the settings file itself stays as initdb made it.
as_db "$bin/pg_ctl -s -w -D $pg/data -l $pg/tmp/load.log -o '-c wal_level=minimal -c max_wal_senders=0 -c fsync=off -c listen_addresses= -c max_wal_size=128MB -c shared_buffers=512MB -c full_page_writes=off' start" ||
    { cat "$pg/tmp/load.log"; exit 1; }
psql='psql -XqAt -v ON_ERROR_STOP=1'
as_db "$psql -d postgres -f -" </lab/sql/roles.sql
as_db "$psql -d cfsettings -f -" </lab/sql/cfsettings.sql
as_db "$psql -d cfmp -f -" </lab/sql/cfmp.sql
as_db "$psql -d cfdb -f -" </lab/sql/cfdb.sql
as_db "$psql -d cfdb -c \"SELECT 'cfdb: ' || pg_size_pretty(pg_database_size('cfdb'))\""
as_db "$bin/pg_ctl -s -w -D $pg/data -m fast stop"
rm -f "$pg/tmp/load.log"
: >/var/log/postgresql.log
