#!/bin/sh
# Runs on the machine that builds: makes a fresh base system ready to be a host, and takes every
# identity out of it (host keys, machine id): each host gets its own. Argument: ROOT.
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
# What cannot work in a container, or only makes noise there.
for unit in systemd-modules-load.service systemd-networkd-wait-online.service systemd-firstboot.service \
    getty.target console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    systemd-logind.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/ssh/sshd_config.d" "$root/etc/dpkg/dpkg.cfg.d"
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
# sshd's keys come from the lab: the package's unit would make all kinds at boot.
ln -sf /dev/null "$root/etc/systemd/system/sshd-keygen.service"
# Nobody needs the packages' manuals here, and the disk's cache need not be emptied after each file.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"
chroot "$root" systemctl enable ssh.service
