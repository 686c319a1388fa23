# The project's tasks; `make` alone lists them. Everything runs inside .venv, which is made on first use.

PYTHON ?= python3
TEST_JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test lint format type imports docs check bench chaos faults large templates images test-images nightly hooks clean

help: ## list these tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.has-demo ## train a model on real data with ten simulated clients
	@echo "== flwr run examples/quickstart-numpy"
	@$(BIN)/flwr run examples/quickstart-numpy

test: $(VENV)/.has-test $(VENV)/.has-nginx ## run the tests
	@echo "== pytest, $(TEST_JOBS) processes"
	@$(BIN)/python -m pytest -m "not slow" -n $(TEST_JOBS) --dist loadfile

lint: $(VENV)/.has-check ## check style and formatting (ruff)
	@echo "== ruff"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: $(VENV)/.has-check ## mend style and formatting where a tool can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

type: $(VENV)/.has-check ## check the types (mypy --strict)
	@echo "== mypy --strict"
	@$(BIN)/mypy --strict

imports: $(VENV)/.has-check ## check which room may import which (import-linter)
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-logo --no-cache

docs: $(VENV)/.has-docs ## build the documentation into docs/_build/html; a warning is an error
	@echo "== sphinx"
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: test lint type imports docs ## all of the above checks

bench: $(VENV)/.has-demo ## measure; with UPSTREAM_PYTHON=... compare with upstream Flower in that environment
	@$(BIN)/python benchmarks/run.py $(ARGS)

chaos: $(VENV)/.has-test ## kill processes of deployments 500 times; the runs must come out the same
	@echo "== pytest, $${FLWR_CHAOS_KILLS:-500} kills"
	@FLWR_CHAOS_KILLS=$${FLWR_CHAOS_KILLS:-500} $(BIN)/python -m pytest tests/acceptance/deployment/test_chaos.py

faults: $(VENV)/.has-test ## inject the faults of a catalogue, and print whether and how fast the terminal names each
	@echo "== pytest"
	@$(BIN)/python -m pytest -q -p no:xdist tests/acceptance/faults

large: $(VENV)/.has-test ## send a model of 4 GiB to a node and back (needs 20 GiB of memory)
	@echo "== pytest, a model of $${FLWR_LARGE_MIB:-4096} MiB"
	@$(BIN)/python -m pytest -m slow tests/acceptance/deployment/test_large.py

images: $(VENV)/.has-package ## build the container images with Docker or Buildah (BASE_IMAGE, IMAGE_PYTHON, REPOSITORY)
	@docker/build.sh

test-images: $(VENV)/.has-test ## build the images on a Debian of our own and run them (as root, or with a Docker daemon)
	@tests/images/run.sh

templates: $(VENV)/.has-package ## run an app of each template of `flwr new`, each in an environment of its own
	@echo "== flwr new, flwr run and pytest for each template"
	@$(BIN)/python tests/acceptance/templates/everywhere.py $(ARGS)

nightly: chaos test-images templates $(VENV)/.has-test $(VENV)/.has-nginx ## run all tests, the long ones too
	@echo "== pytest, slow tests included"
	@$(BIN)/python -m pytest --ignore tests/images/test_built_images.py

hooks: $(VENV)/.has-check ## run the quick checks before each commit (pre-commit)
	@$(BIN)/pre-commit install

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: the package itself, then one dependency group of pyproject.toml for each kind of work.
# A stamp is older than pyproject.toml when that changed, and the step is done again.
$(VENV)/.has-package: pyproject.toml src/flwr/_version.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "This needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version) and installing the package into it"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.has-%: $(VENV)/.has-package
	@echo "== installing what '$*' needs (pyproject.toml, dependency group '$*')"
	@$(PIP) install --quiet --group $*
	@touch $@

# Tests put a real proxy in front of links. Where there is none, Debian's package is unpacked into .venv: nothing is
# installed or started on this machine, and no rights are needed.
APT := $(CURDIR)/$(VENV)/apt
APT_GET := apt-get -qq -o Dir::State::Lists=$(APT)/lists -o Dir::Cache=$(APT)/cache -o APT::Sandbox::User=
$(VENV)/.has-nginx: $(VENV)/.has-test
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; command -v nginx >/dev/null || { \
		echo "== fetching nginx, which tests of proxies use, into $(VENV)" && \
		mkdir -p $(APT)/lists/partial $(APT)/cache/archives/partial && $(APT_GET) update && \
		cd $(APT) && $(APT_GET) download nginx && dpkg -x nginx_*.deb $(APT)/root; } || \
		echo "nginx could not be fetched: install it, or tests/link/test_proxy.py will fail"
	@touch $@
