#!/bin/sh
# Moves a cluster of the first release's program, built from its commit, to the present one while it works
# (test/cluster/upgrade_test.py). The old program is kept in build/upgrade/ for the next time, its sources are not.
# OLD_COMMIT=<commit> tools/upgrade_test.sh
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-2}
# The last one of feature level 1: before the key-value space and leases.
commit=${OLD_COMMIT:-1701897}
kept=build/upgrade/$commit
if ! [ -x "$kept/weed" ]; then
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "the first release's commit $commit is not in this folder's history (a shallow clone? git fetch --unshallow)" >&2
    exit 1
  fi
  echo "== building $commit, about as long as \`make build\` the first time"
  sources=$PWD/build/upgrade/sources.$$
  trap 'git worktree remove --force "$sources" 2>/dev/null || rm -rf "$sources"; git worktree prune' EXIT
  git worktree add --detach --quiet "$sources" "$commit"
  (cd "$sources" && cmake --preset release -DBUILD_TESTING=OFF >configure.log 2>&1 || { cat configure.log; exit 1; }
   cmake --build --preset release -j "$jobs" --target holdfast)
  mkdir -p "$kept"
  cp "$sources/build/release/bin/holdfast" "$kept/weed"
fi
HOLDFAST_OLD=$PWD/$kept/weed HOLDFAST_BIN=${HOLDFAST_BIN:-$PWD/build/release/bin} test/cluster/upgrade_test.py
