#!/bin/sh
# Build dist/edge-tdn_VERSION_ARCH.deb from the wheel in dist; `make deb` calls it. It needs no compiler: the Python
# packages come as wheels, so that the package for another architecture is assembled the same way.
# The package is the same, byte for byte, for the same sources and the same wheels.
set -eu
umask 022

arch=${1:-$(dpkg --print-architecture)}
case $arch in
    amd64) platform=x86_64-manylinux_2_36 ;;
    arm64) platform=aarch64-manylinux_2_36 ;;
    *)
        echo "make deb: ARCH=$arch: allowed: amd64, arm64" >&2
        exit 1
        ;;
esac
wheel=$(echo dist/edge_tdn-*.whl)
release=${wheel#dist/edge_tdn-}
release=$(echo "${release%%-*}" | sed -E 's/(a|b|rc)[0-9]/~&/; s/\.dev/~dev/') # before the release, as dpkg compares
version=${VERSION:-$release}
case $version in
    "$release" | "$release"+*) dpkg --validate-version "$version" ;;
    *)
        echo "make deb: VERSION=$version: allowed: $release, or $release+ and letters, digits or dots, such as $release+site1" >&2
        exit 1
        ;;
esac
tools=$PWD/build/tools/bin
if ! "$tools/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "make deb: needs Python 3.11, that of Debian 12, whose bytecode the package contains: rm -r build/tools; make deb PYTHON=python3.11" >&2
    exit 1
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
root=$PWD/build/deb/$arch
library=$root/usr/lib/edge-tdn
site=$library/lib/python3.11/site-packages
share=$root/usr/share/edge-tdn
documents=$root/usr/share/doc/edge-tdn

echo "== $root"
rm -rf "$root"
mkdir -p "$library/bin" "$share" "$root/DEBIAN"
# Once for this machine, to print the manual pages, and once for the package.
"$tools/uv" pip install --quiet --python "$tools/python" --reinstall-package edge-tdn -c constraints.txt "${wheel}[web]"
"$tools/uv" pip install --quiet --target "$site" --python "$tools/python" --python-version 3.11 \
    --python-platform "$platform" --only-binary :all: --link-mode copy -c constraints.txt "${wheel}[web]"

# An environment as `python3 -m venv` makes it, of Debian's Python. Its GStreamer bindings are Debian's, too.
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >"$library/pyvenv.cfg"
ln -s ../../../bin/python3.11 "$library/bin/python"
ln -s ../../../../python3/dist-packages/gi "$site/gi"
mv "$site"/bin/edge-tdn* "$library/bin/"
sed -i '1s|.*|#!/usr/lib/edge-tdn/bin/python|' "$library"/bin/edge-tdn*
rm -r "$site/bin"

# The wheel is what other environments are installed from. pip's records name who installed this one, and from where.
cp "$wheel" "$share/"
record=$(echo "$site"/edge_tdn-*.dist-info)
printf 'dpkg\n' >"$record/INSTALLER"
printf '{"url": "file:///usr/share/edge-tdn/%s", "archive_info": {}}\n' "${wheel##*/}" >"$record/direct_url.json"
rm -f "$site"/*.dist-info/RECORD "$site"/*.dist-info/REQUESTED "$site"/*.dist-info/uv_*.json "$site/.lock"
"$tools/python" -m compileall -qq --invalidation-mode unchecked-hash -s "$root" -p / "$site" || true

make -s files "DESTDIR=$root" PREFIX=/usr ZSH="$root/usr/share/zsh/vendor-completions" \
    RUN="$tools/python -I"
gzip -9n "$root"/usr/share/man/man1/*.1
gzip -9n <CHANGELOG.md >"$documents/CHANGELOG.md.gz"
printf 'edge-tdn (%s) bookworm; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n' "$version" \
    "$(sed -n 's/^Maintainer: //p' packaging/debian/control)" "$(date -uRd "@$SOURCE_DATE_EPOCH")" |
    gzip -9n >"$documents/changelog.gz"
"$tools/python" packaging/debian/copyright.py "$site" >"$documents/copyright"
install -Dm 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/edge-tdn"

find "$root" -type d -exec chmod 755 {} +
find "$root/usr" "$root/etc" -type f ! -path "$library/bin/*" -exec chmod 644 {} +
sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@GSTREAMER@|$(echo "$DEPENDS" | sed 's/ /, /g')|" \
    -e "s|@SIZE@|$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)|" packaging/debian/control >"$root/DEBIAN/control"
echo /etc/edge-tdn/site.toml >"$root/DEBIAN/conffiles"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
(cd "$root" && find etc usr -type f ! -path etc/edge-tdn/site.toml -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
# The file appears in dist when it is complete. xz at its fastest: higher levels take minutes, for 10 to 16 % less.
# zstd takes seconds, for 5 % more, but Debian 12's lintian rejects it.
complete=$PWD/build/deb/complete-$arch
rm -rf "$complete"
mkdir "$complete"
echo "== dist/edge-tdn_${version}_$arch.deb (compresses: half a minute or so)"
dpkg-deb --root-owner-group -Zxz -z0 --build "$root" "$complete" >/dev/null
mv "$complete"/*.deb dist/
