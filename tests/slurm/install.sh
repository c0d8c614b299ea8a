#!/usr/bin/env bash
# Installs SLURM for the tests where possible, as root on Debian. Elsewhere those tests are skipped.
command -v slurmctld >/dev/null || [ -x /usr/sbin/slurmctld ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "SLURM is not installed, and only root on Debian can do so here: its tests are skipped."
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge; } >/dev/null 2>&1 ||
    echo "SLURM could not be installed: its tests are skipped."
