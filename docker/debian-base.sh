#!/usr/bin/env bash
# Make a small Debian image with Python, for where no public base image can be pulled. Needs root, debootstrap and
# Buildah, which it installs on Debian if they are missing. Prints the image's name; the archive is kept in build/.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:-bookworm}
image=localhost/wildflower-debian:$suite
archive=build/images/debian-$suite.tar

if [ "$(id -u)" != 0 ]; then
  echo "debootstrap has to be run as root." >&2
  exit 1
fi
if ! command -v debootstrap >/dev/null || ! command -v buildah >/dev/null; then
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap debian-archive-keyring buildah; } >/dev/null || {
    echo "Install debootstrap and buildah." >&2
    exit 1
  }
fi
if [ ! -f "$archive" ]; then
  echo "== debootstrap $suite" >&2
  mkdir -p build/images
  root=$(mktemp --directory)
  trap 'rm -rf "$root"' EXIT
  chmod 755 "$root" # the root of the image, too
  debootstrap --force-check-gpg --variant=minbase --include=python3,ca-certificates "$suite" "$root" >"$archive.log"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/{doc,man,info}/* \
    "$root"/usr/share/locale/* "${root:?}"/{dev,tmp}/*
  tar --create --file "$archive.part" --directory "$root" --numeric-owner .
  mv "$archive.part" "$archive"
fi
if ! buildah inspect --type image "$image" >/dev/null 2>&1; then
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$archive" / >/dev/null
  buildah config --cmd python3 "$container"
  buildah commit --quiet --rm "$container" "$image" >/dev/null
fi
echo "$image"
