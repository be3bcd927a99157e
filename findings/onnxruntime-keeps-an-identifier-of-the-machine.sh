#!/bin/sh
# onnxruntime 1.32.0 (since 1.29 on Linux and macOS).
#
# `import onnxruntime` alone, of the official package, writes an identifier of the machine and a data base of
# events below ~/.cache/Microsoft, and starts a thread that sends what it observes of sessions to its maker.
# disable_telemetry_events() comes too late: both are written by then. Only the environment variable
# ORT_DISABLE_TELEMETRY, set before the import, forbids it (or CI, which most machines that serve lack).
# Where the home folder cannot be written, it says so in yellow on standard error, and goes on.
#
# Seen: "as it is: deviceid" and "with ORT_DISABLE_TELEMETRY=1: nothing".
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0
unset CI ORT_DISABLE_TELEMETRY XDG_CACHE_HOME 2>/dev/null || true
look() { find "$1" -name deviceid -printf '%f' 2>/dev/null | grep . || printf nothing; }

mkdir "$scratch/first" "$scratch/second"
HOME="$scratch/first" "$scratch/venv/bin/python" -c \
  'import onnxruntime; onnxruntime.disable_telemetry_events()'
HOME="$scratch/second" ORT_DISABLE_TELEMETRY=1 "$scratch/venv/bin/python" -c 'import onnxruntime'
first=$(look "$scratch/first") second=$(look "$scratch/second")
echo "as it is: $first"
echo "with ORT_DISABLE_TELEMETRY=1: $second"
test "$first $second" = "deviceid nothing"
