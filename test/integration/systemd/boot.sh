#!/usr/bin/env bash
# boot.sh DIRECTORY PACKAGE NODE, as root and in namespaces of its own (unshare): runs a systemd as
# PID 1 on a copy of this machine's file system that is thrown away. It has the units of
# DIRECTORY/units, the package at /usr/lib/millrace with its command at /usr/bin/millrace, and starts
# nothing but steps.target. DIRECTORY is seen as /steps.
set -euo pipefail
readonly directory=$1 package=$2 node=$3

cd "$directory"
mkdir layers && mount -t tmpfs layers layers
mkdir layers/upper layers/work layers/root
mount -t overlay overlay -o lowerdir=/,upperdir=layers/upper,workdir=layers/work layers/root
cd layers/root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
for empty in run tmp sys/fs/cgroup; do mount -t tmpfs -o mode=755 tmpfs "$empty"; done
# What keeps the processes of services apart, as this kernel has it; nothing is limited by it.
mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
if mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd; then
	mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
else
	umount sys/fs/cgroup && mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
mkdir -p steps usr/lib/millrace
mount --bind "$directory" steps
# Where the sandbox of the unit lets it read, wherever this checkout and this Node are.
mount --rbind "$package" usr/lib/millrace
touch usr/bin/node && mount --bind "$node" usr/bin/node
printf '#!/bin/sh\nexec node /usr/lib/millrace/dist/bundle/millrace.js "$@"\n' >usr/bin/millrace
chmod +x usr/bin/millrace
cp -r "$directory"/units/. etc/systemd/system/
mkdir before && pivot_root . before && umount --lazy /before
export container=other
exec "$(command -v systemd || echo /lib/systemd/systemd)" --system --unit=steps.target
