# One of the images with what an app imports; the app itself comes with each run. In the app's folder:
#
#   docker build --file .../docker/app.Dockerfile --build-arg IMAGE=wildflower/supernode:latest --tag my-supernode .
ARG IMAGE=wildflower/superexec:latest
FROM ${IMAGE}
# where to get packages from, if not from the public index
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY pyproject.toml /tmp/app/
# flwr itself is there already, and stays the version of the image (flwr-datasets is another package)
RUN python -c 'import re, tomllib; project = tomllib.load(open("/tmp/app/pyproject.toml", "rb"))["project"]; \
needs = project.get("dependencies", []); \
print(*(need for need in needs if re.split(r"[^\w.-]", need.strip(), maxsplit=1)[0].lower() != "flwr"), sep="\n")' \
        > /tmp/requirements.txt \
    && python -m pip install --no-cache-dir --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
