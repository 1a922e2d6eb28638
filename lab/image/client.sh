#!/bin/sh
# Runs in a container of the image "blank": adds CFEngine, without the identity that its package makes.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -q -y --no-install-recommends install cfengine3
rm -f /var/lib/cfengine3/ppkeys/* /var/cache/apt/archives/*.deb
cat >/etc/systemd/system/lab-identity.service <<'UNIT'
[Unit]
Description=CFEngine host key of this host, made at its first boot
ConditionPathExists=!/var/lib/cfengine3/ppkeys/localhost.priv
Before=cfengine3.service cf-serverd.service cf-execd.service cf-monitord.service
[Service]
Type=oneshot
ExecStart=/usr/bin/cf-key
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable lab-identity.service
