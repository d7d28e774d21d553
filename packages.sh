#!/bin/sh
# Installs the Debian packages that are named and missing, with sudo where needed, and says so.
# Where it cannot, it names what is missing and goes on: everything runs on OpenCV without GStreamer.
# --extra: prints the pip extra that this machine can build ("[gstreamer]"), or nothing.
set -eu

if [ "${1:-}" = --extra ]; then
    if command -v pkg-config >/dev/null && pkg-config --exists gobject-introspection-1.0 cairo-gobject; then
        echo "[gstreamer]"
    fi
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "edge-tdn: no apt here: GStreamer and a broker are yours to install; going on with OpenCV as the video source."
    echo "edge-tdn: on Debian these would be: $*"
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
    echo "edge-tdn: not root and no sudo: these Debian packages are missing, going on without them:$missing"
    exit 0
fi

echo "== Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
