#!/bin/sh
# Runs on the machine that builds: makes a fresh base system ready to be a host, and takes every
# identity out of it (host keys, machine id): each host gets its own. Argument: ROOT. Environment: DPKG (options).
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
# What cannot work in a container, only makes noise there, or would change the machine's own kernel settings.
for unit in systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    proc-sys-fs-binfmt_misc.mount systemd-networkd-wait-online.service systemd-firstboot.service systemd-logind.service \
    getty.target console-getty.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer sshd-keygen.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/ssh/sshd_config.d" "$root/etc/dpkg/dpkg.cfg.d"
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
echo 'Acquire::Languages "none";' >"$root/etc/apt/apt.conf.d/lab" # the repository has no translations
printf '%s\n' "$DPKG" >"$root/etc/dpkg/dpkg.cfg.d/lab"
chroot "$root" systemctl enable ssh.service
