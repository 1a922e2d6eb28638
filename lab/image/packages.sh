#!/bin/sh
# Runs on the machine that builds, after the base system is there: fetches every package that the
# hosts may want later (with what each needs beyond the base) and makes them a repository on the host.
# Arguments: ROOT (of the base system), FOLDER (of the repository). Environment: PACKAGES, PYTHON.
set -eu
root=$1 folder=$2
# shellcheck disable=SC2086  # a list of words
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -y --download-only --no-install-recommends install $PACKAGES
mkdir -p "$folder"
mv "$root"/var/cache/apt/archives/*.deb "$folder/"
"$PYTHON" -m lab.repo "$folder"

# From now on the hosts know this repository and no other.
rm -rf "$root"/var/lib/apt/lists/* "$root"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/packages ./' >"$root/etc/apt/sources.list"
mkdir -p "$root/srv/packages"
cp "$folder/Packages" "$root/srv/packages/"
chroot "$root" apt-get -q update
rm "$root/srv/packages/Packages"
