#!/usr/bin/env bash
# Build the images on this machine and run them: `make test-images`.
set -euo pipefail
cd "$(dirname "$0")/../.."
export REPOSITORY=${REPOSITORY:-wildflower}
start=$SECONDS

if ! { command -v docker >/dev/null && docker info >/dev/null 2>&1; }; then
  missing=()
  for program in buildah podman runc; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("$program")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
      apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } || {
      echo "Without a Docker daemon this needs: ${missing[*]}. Install them." >&2
      exit 1
    }
  fi
  # no base image can be pulled everywhere; Debian 12 has Python 3.11
  BASE_IMAGE=${BASE_IMAGE:-$(docker/debian-base.sh bookworm)}
  IMAGE_PYTHON=${IMAGE_PYTHON:-3.11}
  export BASE_IMAGE IMAGE_PYTHON
fi
docker/build.sh
echo "== fetching what the digits app imports"
docker/fetch.sh "${IMAGE_PYTHON:-3.13}" build/images/app-wheels scikit-learn
echo "== built in $((SECONDS - start)) s; pytest"
.venv/bin/python -m pytest -m slow -s tests/images/test_built_images.py "$@"
echo "== images built and tested in $((SECONDS - start)) s"
