#!/bin/sh
# Installs the Debian packages that are named and missing, with sudo where needed, and says so.
# Where it cannot, it names what is missing and goes on: everything runs on OpenCV without GStreamer.
# --extra: prints the pip extra that this machine can build ("[gstreamer]"), or nothing.
set -eu

if [ "${1:-}" = --extra ]; then
    include=$("${PYTHON:-python3}" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    if [ -e "$include/Python.h" ] && command -v cc >/dev/null && command -v pkg-config >/dev/null &&
        pkg-config --exists gobject-introspection-1.0 cairo-gobject; then
        echo "[gstreamer]"
    fi
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "edge-tdn: no apt here, going on with what is installed (OpenCV in place of a missing GStreamer). On Debian: $*"
    exit 0
fi

missing=
for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null; then
    sudo=sudo
else
    echo "edge-tdn: not root and no sudo, going on without (OpenCV in place of GStreamer). As root: apt-get install$missing"
    exit 0
fi

echo "== Debian packages (a minute or so):$missing"
# An update that fails is no end: a source of no concern to us may be out of order.
$sudo sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null' sh $missing ||
    echo "edge-tdn: not installed (see above), going on without (OpenCV in place of GStreamer)"
