#!/bin/sh
# Puts the program and what belongs to it into a Debian package, build/deb/holdfast_<version>_<architecture>.deb: the binary and its
# other names, systemd units, manual pages and completion (made by the program itself), settings, the licence.
# HOLDFAST_BIN: the folder of the built program; INTO: where the package goes; COMPRESSION: xz (default), gzip, none.
set -eu
cd "$(dirname "$0")/.."
bin=${HOLDFAST_BIN:-build/release/bin}
into=${INTO:-build/deb}
compression=${COMPRESSION:-xz}
for tool in dpkg-deb dpkg-shlibdeps dpkg-architecture strip gzip; do
  command -v $tool >/dev/null || { echo "there is no $tool here: apt-get install dpkg-dev binutils gzip" >&2; exit 1; }
done
[ -x "$bin/holdfast" ] || { echo "$bin/holdfast is not built: make build" >&2; exit 1; }

version=$(sed -n 's/^set(HOLDFAST_VERSION "\(.*\)")$/\1/p' CMakeLists.txt)
# Between releases each commit has a version of its own, later than the one before.
if stamp=$(git log -1 --format=%ct.%h 2>/dev/null); then
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-${stamp%%.*}}
  version="$version+git$(date -u -d "@${stamp%%.*}" +%Y%m%d%H%M).${stamp#*.}"
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}
export SOURCE_DATE_EPOCH
architecture=$(dpkg-architecture -qDEB_HOST_ARCH)
maintainer="${DEBFULLNAME:-Holdfast developers} <${DEBEMAIL:-developers@holdfast.invalid}>"

mkdir -p "$into"
work=$(realpath "$(mktemp -d "$into/work.XXXXXX")")
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/root
doc=$root/usr/share/doc/holdfast
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/sbin" "$root/lib/systemd/system" "$root/etc/holdfast" "$doc" \
  "$root/usr/share/man/man1" "$root/usr/share/man/man5" "$root/usr/share/man/man8" \
  "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"

strip --strip-unneeded --remove-section=.comment --remove-section=.note -o "$root/usr/bin/holdfast" "$bin/holdfast"
ln -s holdfast "$root/usr/bin/weed"
for name in mfsmaster mfschunkserver mfsmetalogger mfsmetarestore; do ln -s ../bin/holdfast "$root/usr/sbin/$name"; done

install -m 644 share/systemd/*.service "$root/lib/systemd/system"
install -m 644 share/deb/*.options "$root/etc/holdfast"
(cd "$root" && find etc -type f | sort | sed 's|^|/|') >"$root/DEBIAN/conffiles"

# Defaults that follow the environment are told as they are without one.
pages=$work/pages
mkdir "$pages"
env -u TMPDIR "$bin/holdfast" man -output="$pages"
for page in "$pages"/*; do
  gzip -9n <"$page" >"$root/usr/share/man/man${page##*.}/$(basename "$page").gz"
done
ln -s holdfast.1.gz "$root/usr/share/man/man1/weed.1.gz"
ln -s ../man1/holdfast-metarestore.1.gz "$root/usr/share/man/man8/mfsmetarestore.8.gz"

"$bin/holdfast" completion bash >"$root/usr/share/bash-completion/completions/holdfast"
for name in weed mfsmaster mfschunkserver mfsmetalogger; do
  ln -s holdfast "$root/usr/share/bash-completion/completions/$name"
done
"$bin/holdfast" completion zsh >"$root/usr/share/zsh/vendor-completions/_holdfast"
"$bin/holdfast" completion fish >"$root/usr/share/fish/vendor_completions.d/holdfast.fish"
ln -s holdfast.fish "$root/usr/share/fish/vendor_completions.d/weed.fish"

install -m 644 share/deb/copyright "$doc/copyright"
gzip -9n <README.md >"$doc/README.md.gz"
gzip -9n <CHANGELOG.md >"$doc/NEWS.gz"
printf 'holdfast (%s) unstable; urgency=medium\n\n  * What is new stands in NEWS.gz.\n\n -- %s  %s\n' \
  "$version" "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"

# What the program is linked with, in the words of Debian's packages.
mkdir "$work/debian"
printf 'Source: holdfast\n\nPackage: holdfast\nArchitecture: any\nDescription: x\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/holdfast 2>"$work/shlibdeps.log") || { cat "$work/shlibdeps.log" >&2; exit 1; }
depends=${depends#shlibs:Depends=}
{
  printf 'Package: holdfast\nVersion: %s\nArchitecture: %s\nMaintainer: %s\n' "$version" "$architecture" "$maintainer"
  printf 'Installed-Size: %s\n' "$(du -k -s --apparent-size "$root" | cut -f1)"
  printf 'Depends: %s, adduser\n' "$depends"
  printf 'Recommends: libvips42, libcurl4\n'  # loaded by the worker that resizes images; by who reaches S3
  printf 'Conflicts: moosefs-chunkserver, moosefs-master, moosefs-metalogger, seaweedfs\n'
  printf 'Section: net\nPriority: optional\n'
  cat share/deb/description
} >"$root/DEBIAN/control"
install -m 755 share/deb/postinst share/deb/prerm share/deb/postrm "$root/DEBIAN"
(cd "$root" && find etc lib usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

package=$into/holdfast_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z$compression" --build "$root" "$package" >/dev/null
echo "$package"
