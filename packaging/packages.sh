#!/bin/sh
# Install those of the given Debian packages that are missing, with sudo if necessary.
# Without apt or root it names them and continues: without GStreamer, OpenCV plays the cameras. Clips of actions,
# rtsps://, https:// and decoding by hardware need GStreamer.
# --extra prints the pip extras that a camera host gets: the page, and GStreamer where this machine can build it.
set -eu

if [ "${1:-}" = --extra ]; then
    include=$("${PYTHON:-python3}" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    if [ -e "$include/Python.h" ] && command -v cc >/dev/null && command -v pkg-config >/dev/null &&
        pkg-config --exists gobject-introspection-1.0 cairo-gobject; then
        echo "[gstreamer,web]"
    else
        echo "[web]"
    fi
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "edge-tdn: apt-get not found, continuing with the installed packages (without GStreamer: no clips, no rtsps:// and https://). On Debian, install: $*"
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
    echo "edge-tdn: neither root nor sudo, continuing with the installed packages (without GStreamer: no clips, no rtsps:// and https://). As root, run: apt-get install$missing"
    exit 0
fi

echo "== Debian packages (a minute or so):$missing"
# A failed update is not fatal: an unrelated source may be unavailable.
$sudo sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null' sh $missing ||
    echo "edge-tdn: installation failed (see above), continuing with the installed packages (without GStreamer: no clips, no rtsps:// and https://)"
