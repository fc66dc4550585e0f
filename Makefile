# Everything a newcomer needs. On the machine: make and Python 3.11 or newer; the rest comes from PyPI and Maven Central,
# into .uv/ and .venv/ here and into the user's cache.
#
# Use a uv of your own with `make UV=uv TARGET`; pass arguments on with `make test ARGS="-k saga"`.

UV_VERSION := 0.13.9
UV ?= .uv/bin/uv
UV_FILE := $(filter .uv/%,$(UV))
RUN := $(UV) run --frozen --all-packages
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help demo up down test lint format peers

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(UV_FILE) ## Start everything, send 300 real orders through it, prove that none was lost, stop everything
	$(RUN) oms demo $(ARGS)

up: $(UV_FILE) ## Start Kafka, MongoDB, Redis and the five services, and leave them running
	$(RUN) oms up $(ARGS)

down: $(UV_FILE) ## Stop what `make up` started
	$(RUN) oms down $(ARGS)

# In the order in which they were found: some leave things on shared topics that others must not meet.
test: $(UV_FILE) ## Run all tests: on Docker where they share engines and it can be reached, else on processes of this machine
	$(RUN) pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

peers: $(UV_FILE) ## Measure the same orders on DBOS, Restate and Temporal, beside ours; it takes long
	$(UV) run --frozen --project benchmarks/peers peers $(ARGS)

lint: $(UV_FILE) ## Check style, types and who imports whom
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports

format: $(UV_FILE) ## Put the code into its one format
	$(RUN) ruff format
	$(RUN) ruff check --fix

# The first interpreter that is new enough and can make a virtual environment; names that only seem to exist are skipped.
.uv/bin/uv: Makefile
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Fetching uv $(UV_VERSION) into .uv/ (once), with $$($$python --version)" && \
			$$python -m venv --clear .uv && \
			.uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)" && \
			touch $@ && exit 0; \
			exit 1; \
		fi; \
	done; \
	echo "Python 3.11 or newer with venv was not found. On Debian and Ubuntu: apt install python3 python3-venv" >&2; \
	echo "On macOS: brew install python. With a uv of your own: make UV=uv $(MAKECMDGOALS)" >&2; \
	exit 1
