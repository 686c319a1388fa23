#!/usr/bin/env bash
# Build the images with Docker or Buildah, whichever works here. Called by `make images`.
#
#   BASE_IMAGE     what they are built on: Debian or Ubuntu with Python (default: see Dockerfile)
#   IMAGE_PYTHON   its Python version (default: 3.13)
#   REPOSITORY     what their names begin with (default: wildflower)
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
base_image=${BASE_IMAGE:-docker.io/library/python:3.13-slim-bookworm}
image_python=${IMAGE_PYTHON:-3.13}
repository=${REPOSITORY:-wildflower}
wheels=build/images/wheels
targets=(base superlink supernode superexec serverapp clientapp)

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  export BUILDAH_FORMAT=docker # for a Podman that is called docker; else health checks are lost
  build() { docker build "$@"; }
elif command -v buildah >/dev/null; then
  # chroot: needs no container runtime, so that it works inside containers too; docker: health checks are kept
  build() { buildah build --isolation chroot --format docker --layers "$@"; }
else
  echo "Neither a Docker daemon nor Buildah is here. Install one, for instance: apt-get install buildah" >&2
  exit 1
fi

# The step that needs the network.
echo "== fetching wheels for Python $image_python into $wheels"
rm -rf "$wheels"
mkdir -p "$wheels"
"$python" -m pip wheel -qq --no-deps --wheel-dir "$wheels" .
docker/fetch.sh "$image_python" "$wheels" pip "$wheels"/flwr-*.whl

version=$("$python" -c 'from flwr._version import __version__; print(__version__.replace("+", "-"))')
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
base_name=$(basename "${base_image%@*}") # without registry and digest
flavour=py$image_python-${base_name%%:*}
for target in "${targets[@]}"; do
  echo "== building $repository/$target:$version on $base_image"
  tags=()
  for tag in "$version" "$version-$flavour" "${version%%-*}" latest; do
    tags+=(--tag "$repository/$target:$tag")
  done
  build --quiet --file docker/Dockerfile --target "$target" "${tags[@]}" --build-arg "BASE_IMAGE=$base_image" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" . >/dev/null || {
    echo "If $base_image cannot be pulled: make images BASE_IMAGE=\$(docker/debian-base.sh) IMAGE_PYTHON=3.11" >&2
    exit 1
  }
done
