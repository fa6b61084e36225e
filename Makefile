# `make` alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format rust-test bench bench-short proof conformance fuzz fuzz-coverage image spark-test clean

BIN := .venv/bin
CARGO_NATIVE := --locked --manifest-path native/Cargo.toml
CARGO := $(shell command -v cargo)
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
PROOF_ARGS ?=
CONFORMANCE_ARGS ?=
FUZZ_SECONDS ?= 60
IMAGE ?= steer
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list the targets (this)
	@echo "steer: an authoritative nameserver that steers a CDN's clients. Targets:"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "Variables: PYTHON=python3.11 (for .venv), STEER_REQUIRE_NATIVE=1 (fail without the native engine)."

venv: ## make or update .venv, with steer installed editable and the native engine where cargo is found
	@scripts/make-venv.sh

demo: venv ## a whole small CDN on loopback: POPs, nameserver, dashboard (DEMO_ARGS="--help")
	@exec $(BIN)/steer demo $(DEMO_ARGS)

test: venv ## all Python tests (PYTEST_ARGS="-k wire")
	@scripts/install-test-tools.sh
	$(BIN)/pytest $(PYTEST_ARGS)

spark-test: venv ## evidence aggregated on a local Spark as on DuckDB (installs pyspark, 0.5 GB; Java 17 or later)
	$(BIN)/pip install --quiet -c constraints.txt 'ibis-framework[pyspark]>=10,<13' 'pyspark>=4,<5'
	STEER_REQUIRE_SPARK=1 $(BIN)/pytest tests/sources/test_evidence_engines.py

lint: venv ## ruff, mypy; with cargo also rustfmt, clippy, and the stub against the native module
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
ifneq ($(CARGO),)
	cargo fmt --manifest-path native/Cargo.toml --check
	cargo clippy $(CARGO_NATIVE) --all-targets --all-features -- -D warnings
	$(BIN)/stubtest steer.dataplane._native
else
	@echo "lint: no cargo, so rustfmt, clippy and stubtest are skipped"
endif

format: venv ## let ruff and rustfmt rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(if $(CARGO),cargo fmt --manifest-path native/Cargo.toml)

rust-test: ## the crate's own tests (needs cargo, no Python)
	cargo test $(CARGO_NATIVE)

bench: venv ## CPU per query beside a bare echo, gdnsd, Knot and PowerDNS; writes docs/performance.md (root, half an hour)
	$(BIN)/python -m bench $(BENCH_ARGS)

bench-short: venv ## the same in a minute or two, to see that it runs; its figures say little
	$(BIN)/python -m bench --short $(BENCH_ARGS)

proof: venv ## ten million questions: no resolver's cache gives what steer would not (PROOF_ARGS="--help"; two minutes)
	$(BIN)/python -m tests.proof $(PROOF_ARGS)

conformance: venv ## Zonemaster, dnsviz, dig and its like, unbound and PowerDNS against steer (root, two minutes)
	@conformance/install.sh
	$(BIN)/python -m conformance $(CONFORMANCE_ARGS)

fuzz: venv ## both engines fuzzed side by side for FUZZ_SECONDS (cargo-fuzz, a nightly toolchain; two cores)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

fuzz-coverage: venv ## how much of the native engine that has reached, by file (llvm-tools of the nightly toolchain)
	$(BIN)/python -m tests.fuzz.coverage

image: ## container image with the native engine (docker or podman)
	$$(command -v docker || command -v podman || echo docker) build -t $(IMAGE) .

clean: ## remove what was built: .venv, caches, the native engine
	rm -rf .venv .venv.lock build dist *.egg-info native/target native/fuzz/{target,worlds,seeds,coverage} .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f steer/dataplane/_native*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
