# `make help` lists the targets. Everything installs into .venv from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types imports unit format clean benchmark-mnist benchmark-speed benchmark-latency

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv and install everything, pinned

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## Run the main job end to end on real data, through HTTP
	$(BIN)/python examples/demo.py

test: lint types imports unit ## Everything that must pass before a change lands

lint: $(STAMP) ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy strict, source and tests
	$(BIN)/mypy

imports: $(STAMP) ## The arrows between packages
	$(BIN)/lint-imports --cache-dir .cache/import_linter

# One torch thread a test process: several share each core, and waiting threads spin.
unit: $(STAMP) ## Unit and end-to-end tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadgroup

format: $(STAMP) ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .cache build *.egg-info

benchmark-mnist: $(STAMP) ## Hinton's MNIST experiment through the service: make benchmark-mnist MNIST=folder
	$(BIN)/python benchmarks/mnist_distillation.py --mnist $(MNIST)

benchmark-speed: $(STAMP) ## A KD step beside RepDistiller's: make benchmark-speed PEER=checkout
	$(BIN)/python benchmarks/kd_step_speed.py --peer $(PEER)

benchmark-latency: $(STAMP) ## Submit to first step, a status read, importing the API
	$(BIN)/python benchmarks/service_latency.py
