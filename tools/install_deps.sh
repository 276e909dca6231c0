#!/bin/sh
# Installs the Debian 12 packages that the named groups need, if any is missing: build, test, bench, model.
# What a group needs of PyPI (python.txt) is fetched into build/python/, pinned by version and hash, and not installed.
# Needs root or sudo only when a Debian package is missing.
set -eu
here=$(dirname "$0")
python_packages() {
  for group in "$@"; do
    lines=$(sed -n "s/^$group: *//p" "$here/python.txt")
    [ -n "$lines" ] || continue
    into="$here/../build/python/$group"
    # What was fetched is taken again as long as the list says the same.
    [ -e "$into/list.txt" ] && [ "$lines" = "$(cat "$into/list.txt")" ] && continue
    rm -rf "$into"
    mkdir -p "$into"
    echo "$lines" >"$into/wanted.txt"
    python3 -m pip download -q --no-deps --require-hashes --dest "$into" -r "$into/wanted.txt"
    mv "$into/wanted.txt" "$into/list.txt"
  done
}
want=""
for group in "$@"; do
  want="$want $(sed -n "s/^$group: *//p" "$here/packages.txt")"
done
missing=""
for package in $want; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
if [ -z "$missing" ]; then
  python_packages "$@"
  exit 0
fi
echo "installing:$missing"
sudo=""
if [ "$(id -u)" != 0 ]; then
  sudo=$(command -v sudo) || { echo "run as root, or install by hand:$missing" >&2; exit 1; }
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q
# Packages that would start a service of their own must not: the tests start what they need themselves.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
  $sudo chmod +x $policy
  made=yes
fi
# shellcheck disable=SC2086
$sudo apt-get install -q -y --no-install-recommends $missing || { [ -n "$made" ] && $sudo rm -f $policy; exit 1; }
[ -n "$made" ] && $sudo rm -f $policy
python_packages "$@"
