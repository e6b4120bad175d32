# `make help` lists the targets. Everything installs into .venv from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install env demo demo-production test lint types imports branches unit test-faults format clean recipe benchmark-mnist benchmark-speed benchmark-transfer benchmark-latency benchmark-load benchmark-readers benchmark-uploads benchmark-stall benchmark-decode benchmark-memory

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv and install everything, pinned

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

env: ## Write .env for docker-compose.yml, with new secrets: make env PROFILES=cpu,monitoring
	deploy/compose/write_env.sh .env $(or $(PROFILES),cpu)

demo: $(STAMP) ## Run the main job end to end on real data, through HTTP
	$(BIN)/python examples/demo.py

demo-production: $(STAMP) ## The same on PostgreSQL, Redis and S3, started for it on this machine
	$(BIN)/python -m examples.demo_production

test: lint types imports branches unit ## Everything that must pass before a change lands

lint: $(STAMP) ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy strict, source and tests
	$(BIN)/mypy

imports: $(STAMP) ## The arrows between packages
	$(BIN)/lint-imports --cache-dir .cache/import_linter

# Apart from `unit`, which would trace every test for this; whole jobs are not needed for it.
branches: $(STAMP) ## Every branch of every method is taken by its own tests
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/kdcore/methods \
		--ignore tests/kdcore/methods/test_golden_curves.py --quiet --durations 0 --durations-min 2 \
		--cov kdcore.methods --cov-branch --cov-fail-under 100 --cov-report term-missing:skip-covered

# One torch thread a test process: several share each core, and waiting threads spin.
unit: $(STAMP) ## Unit and end-to-end tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadgroup

test-faults: $(STAMP) ## Kill, freeze and restart every part at every phase (minutes): make test-faults PAGE=file.md
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/faults tests -m faults -n auto --dist loadgroup $(if $(PAGE),--faults-page $(PAGE))

format: $(STAMP) ## Rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .cache build *.egg-info

recipe: $(STAMP) ## A published experiment: make recipe NAME=mnist DATA=folder SCALE=full DEVICE=auto WORKERS=1
	$(BIN)/python -m recipes $(NAME) $(if $(DATA),--data $(DATA)) --scale $(or $(SCALE),full) \
		--device $(or $(DEVICE),auto) --workers $(or $(WORKERS),1) $(RECIPE_OPTIONS)

benchmark-mnist: $(STAMP) ## Hinton's MNIST experiment through the service: make benchmark-mnist MNIST=folder
	$(BIN)/python -m benchmarks.mnist_distillation --mnist $(MNIST)

benchmark-speed: $(STAMP) ## A KD step beside RepDistiller's: make benchmark-speed PEER=checkout
	$(BIN)/python -m benchmarks.kd_step_speed --peer $(PEER)

benchmark-transfer: $(STAMP) ## A 5 GB upload and download through S3, and the API's memory
	$(BIN)/python -m benchmarks.large_transfer

benchmark-latency: $(STAMP) ## Submit to first step, a status read, importing the API
	$(BIN)/python -m benchmarks.service_latency

benchmark-load: $(STAMP) ## 1,000 jobs from 50 clients on PostgreSQL, Redis and S3: each ends exactly once
	$(BIN)/python -m benchmarks.queue_load

benchmark-readers: $(STAMP) ## Status reads beside 500 live streams and 1,000 polling clients
	$(BIN)/python -m benchmarks.many_readers

benchmark-uploads: $(STAMP) ## The API's memory under 200 uploads at once
	$(BIN)/python -m benchmarks.many_uploads

benchmark-stall: $(STAMP) ## How long training stands still for a checkpoint
	GOMP_SPINCOUNT=1000 $(BIN)/python -m benchmarks.checkpoint_stall

benchmark-decode: $(STAMP) ## Ingest of large images by one process and by several
	$(BIN)/python -m benchmarks.decoding

benchmark-memory: $(STAMP) ## Train on three times the memory that a training process may take
	$(BIN)/python -m benchmarks.larger_than_memory
