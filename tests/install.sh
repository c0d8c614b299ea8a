#!/usr/bin/env bash
# Installs what some tests need where possible, as root on Debian. Elsewhere those tests are skipped.
PATH=$PATH:/usr/sbin
missing=()
needs() { command -v "$1" >/dev/null || missing+=("${@:2}"); }
needs slurmctld slurmctld slurmd slurm-client munge
needs chromium chromium
needs pdflatex texlive-latex-base texlive-latex-recommended
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Only root on Debian can install what some tests need: ${missing[*]}. They are skipped."
    exit 0
fi
echo "Installing what some tests need: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 ||
    echo "That failed: tests that need what is missing are skipped."
