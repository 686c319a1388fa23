#!/usr/bin/env bash
# Fetch wheels for the Python of an image, whatever that of this machine is: fetch.sh PYTHON FOLDER REQUIREMENT...
set -euo pipefail
image_python=$1 folder=$2
shift 2
machine=$(uname -m)
[ "$machine" != arm64 ] || machine=aarch64 # as macOS calls it; containers there are Linux
platforms=()
for minor in {35..17}; do # of glibc: Debian 12 has 2.36, Ubuntu 22.04 has 2.35
  platforms+=(--platform "manylinux_2_${minor}_$machine")
done
for platform in "manylinux2014_$machine" "manylinux_2_12_$machine" "manylinux_2_5_$machine"; do
  platforms+=(--platform "$platform")
done
mkdir -p "$folder"
exec "$(dirname "$0")/../.venv/bin/python" -m pip download -qq --dest "$folder" --only-binary :all: \
  --implementation cp --python-version "$image_python" "${platforms[@]}" --platform any "$@"
