# Two targets do all the set-up themselves: `make demo` and `make test`.
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: help setup compiled demo test test-all lint types bench lock clean
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: build/setup.stamp ## system packages, .venv from the hash-pinned lock, bawn itself
build/setup.stamp: scripts/setup requirements/dev.txt pyproject.toml
	@scripts/setup
	@mkdir -p build && touch $@

compiled: setup ## the gateway's hot path as machine code, if a source was changed since `make setup`
	@$(BIN)/python -m bawn.app.compile --needed

demo: setup ## a real agent in a container without a key and without a network
	@$(BIN)/python demo/run.py

test: setup lint types ## linters, types and all tests but the long ones
	@scripts/test

test-all: setup lint types ## everything, with the long suites
	@$(BIN)/pytest -q

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: setup
	@$(BIN)/mypy

bench: compiled ## measure, print the table, write build/bench.json and docs/benchmarks.md
	@$(BIN)/python -m bench.run --docs

lock: ## renew the lock files (needs uv on the PATH)
	@for group in runtime dev; do \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --no-header pyproject.toml $$([ $$group = dev ] && echo --group dev) -o requirements/$$group.txt || exit 1; done

clean: ## remove what was built here
	rm -rf build .venv
