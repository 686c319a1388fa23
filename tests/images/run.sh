#!/usr/bin/env bash
# Build the images on this machine and run them: `make test-images`. With IF_POSSIBLE=1 a machine on which no
# container can be run is no failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
export REPOSITORY=${REPOSITORY:-wildflower}
start=$SECONDS
impossible() {
  echo "The images cannot be tested on this machine: $1" >&2
  [ "${IF_POSSIBLE:-0}" = 1 ] && exit 0
  exit 1
}

if ! { command -v docker >/dev/null && docker info >/dev/null 2>&1; }; then
  missing=()
  for program in buildah podman runc; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("$program")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
      apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
      impossible "without a Docker daemon, install: ${missing[*]}."
  fi
  # no base image can be pulled everywhere; Debian 12 has Python 3.11
  if [ -z "${BASE_IMAGE:-}" ]; then
    BASE_IMAGE=$(docker/debian-base.sh bookworm) || impossible "see above why there is no base image."
  fi
  .venv/bin/python tests/images/containers.py "$BASE_IMAGE" || impossible "no container can be run; see above."
  IMAGE_PYTHON=${IMAGE_PYTHON:-3.11}
  export BASE_IMAGE IMAGE_PYTHON
fi
docker/build.sh
echo "== fetching what the digits app imports"
docker/fetch.sh "${IMAGE_PYTHON:-3.13}" build/images/app-wheels scikit-learn
echo "== built in $((SECONDS - start)) s; pytest"
.venv/bin/python -m pytest -m slow -s tests/images/test_built_images.py "$@"
echo "== images built and tested in $((SECONDS - start)) s"
