#!/bin/sh
# Runs in a container of the image "vendor": adds the stand-in for the vendor's hub package, with the data of a hub that
# has lived for a while. What makes a hub itself (keys, certificate, secrets) is made anew by seed, on the host.
set -eu
export DEBIAN_FRONTEND=noninteractive
work=/var/cfengine
pg=$work/state/pg
bin=$work/bin
echo "127.0.1.1 $(uname -n)" >>/etc/hosts # the package wants a full name; each host has an own file of names
apt-get -q -y --no-install-recommends install cfengine-nova-hub python3-psycopg2
rm -f /var/cache/apt/archives/*.deb

# The packages' programs in the vendor's work directory, with the vendor's digests, by the stand-in's plug-in.
test "$(runuser -u root -- $bin/cf-promises --show-vars=default:sys.workdir -f $work/masterfiles/promises.cf | awk '$1 == "default:sys.workdir" {print $2}')" = $work
$bin/cf-key -p $work/ppkeys/localhost.pub | grep -q '^SHA=[0-9a-f]\{64\}$'
$bin/cf-promises --show-classes=enterprise_edition -f $work/masterfiles/promises.cf | grep -q '^enterprise_edition '

# The plug-in's view of the pair, from a command's answer.
echo 192.168.100.10 >$work/policy_server.dat
: >$work/state/am_policy_hub
cat >$work/masterfiles/cfe_internal/enterprise/ha/ha_info.json <<'INFO'
{"192.168.100.12": {"sha": "c3", "internal_ip": "192.168.100.12", "is_in_cluster": false},
 "192.168.100.10": {"sha": "a1", "internal_ip": "192.168.100.10"},
 "192.168.100.11": {"sha": "b2", "internal_ip": "192.168.100.11"}}
INFO
while read -r said class master; do
    printf 'cmp_master: PRI\ncmp_slave: HS:async,HS:sync\ncmd: /bin/echo %s\n' "$said" >$work/ha.cfg
    found=$($bin/cf-promises --show-classes='hub_(active|passive)' -f $work/masterfiles/promises.cf |
        awk '/^hub_(active|passive) / {print $1}')
    test "$said ${found:-none} $(cat $work/state/master_hub.dat)" = "$said $class $master"
done <<'TABLE'
PRI hub_active 192.168.100.10
HS:sync hub_passive 192.168.100.11
HS:alone none 192.168.100.11
TABLE
rm $work/policy_server.dat $work/state/am_policy_hub $work/state/master_hub.dat $work/ha.cfg \
    $work/masterfiles/cfe_internal/enterprise/ha/ha_info.json

as_db() { runuser -u cfpostgres -- sh -c "cd /tmp && $1"; }
as_db "$bin/pg_ctl -s -w -D $pg/data -l $pg/tmp/load.log -o '-c wal_level=minimal -c max_wal_senders=0 -c fsync=off -c listen_addresses= -c max_wal_size=128MB -c shared_buffers=512MB -c full_page_writes=off' start" ||
    { cat "$pg/tmp/load.log"; exit 1; }
as_db "$bin/psql -XqAt -v ON_ERROR_STOP=1 -d cfdb -f -" </lab/sql/cfdb.sql
as_db "$bin/pg_ctl -s -w -D $pg/data -m fast stop"
systemctl disable cfengine3 cf-execd cf-serverd cf-monitord cf-hub cf-apache cf-reactor cf-php-fpm cf-postgres
# the operator's own
echo 'hostssl cfdb            lab_writer      192.168.100.0/24        scram-sha-256' >>"$pg/data/pg_hba.conf"
rm -rf "$pg/tmp/load.log" "$work"/ppkeys/* "$work"/httpd/secrets.ini "$work"/httpd/ssl/*/* "$work"/ssl/* "$work"/inputs/*
: >/var/log/postgresql.log
PATH=$PATH:$bin python3 /lab/image/keys.py "$work/ppkeys" 50 SHA
