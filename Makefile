# The commands of this repository. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The parts of `make test` must run one after the other, so that the test summary comes last.
.NOTPARALLEL:

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
STATE_DIR ?= .plue-state
EXAMPLE ?= examples/seed
# A workflow of the example, where it has several.
WORKFLOW ?=
# A copy of github.com/rustsec/advisory-db.
ADVISORY_DB ?= advisory-db
NEXTEST_PROFILE ?= $(if $(CI),ci,default)
# Tools that setup builds (cargo-nextest) live with the build, not in the user's home.
export PATH := $(abspath $(TARGET_DIR))/tools/bin:$(PATH)

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: setup-run ## Build plue and run an example (EXAMPLE=examples/…, WORKFLOW=…, STATE_DIR=…)
	cargo build --release --locked -p plue-cli -p plue-runner -p plue-evaluator
	@scripts/run.sh "$(TARGET_DIR)/release/plue" "$(STATE_DIR)" "$(EXAMPLE)" $(WORKFLOW)

.PHONY: test
test: setup-test fmt-check tidy lint $(if $(CI),check-crates) doc deny doctest kernel bins chart $(if $(CI),fuzz) unit ## Everything CI checks; the test summary comes last

.PHONY: fmt
fmt: ## Format the Rust code
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all -- --check

.PHONY: lint
lint: lint-python ## Clippy, warnings are errors; mypy and ruff on python/plue
	cargo clippy --workspace --all-targets --locked -- -D warnings

PYTHON_TOOLS := $(TARGET_DIR)/tools/python/bin
.PHONY: lint-python
lint-python: ## The package python/plue: types (mypy --strict), ruff's rules and its form
	@if [ -x "$(PYTHON_TOOLS)/mypy" ] && [ -x "$(PYTHON_TOOLS)/ruff" ]; then \
		export MYPY_CACHE_DIR="$(abspath $(TARGET_DIR))/mypy" RUFF_CACHE_DIR="$(abspath $(TARGET_DIR))/ruff"; \
		tools="$(abspath $(PYTHON_TOOLS))"; cd python; \
		"$$tools/mypy" --strict plue; "$$tools/ruff" check .; "$$tools/ruff" format --check .; \
	else \
		echo 'lint-python: skipped, mypy and ruff are not installed (scripts/setup.sh test)'; \
	fi

.PHONY: editors
editors: ## The schema of YAML files, as the language server of editors reads it (needs npm)
	scripts/check_yaml_schema.sh

.PHONY: tidy
tidy: ## The house rules that Clippy does not know (docs/style.md)
	cargo xtask tidy

.PHONY: docs
docs: setup-docs ## The manual as a static book in target/book
	cargo xtask book --target "$(TARGET_DIR)"
	mdbook build "$(TARGET_DIR)/book-src" --dest-dir "$(abspath $(TARGET_DIR))/book"
	@echo "open $(abspath $(TARGET_DIR))/book/index.html" >&2

.PHONY: doc
doc: ## Build the API docs, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

.PHONY: deny
deny: ## Licences, sources and bans of dependencies (only when cargo-deny is installed), and their advisories
	@cargo xtask advisories --db "$(ADVISORY_DB)"
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --log-level error check bans licenses sources; \
	else \
		echo 'deny: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)'; \
	fi

CHART_PYTHON := $(abspath $(TARGET_DIR))/tools/chart/bin/python
.PHONY: chart
chart: ## The Helm chart: rendered, linted and checked offline, by two versions of Helm (charts/checks)
	@cd charts && PYTHONDONTWRITEBYTECODE=1 "$(CHART_PYTHON)" -m checks $(CHECKS)

.PHONY: chart-write
chart-write: ## Write what follows from the chart: README, descriptions of values, golden files
	@$(MAKE) --no-print-directory chart CHECKS='--fast --write'

.PHONY: doctest
doctest:
	cargo test --workspace --doc --locked --quiet

.PHONY: bins
bins:
	cargo build --workspace --bins --locked

.PHONY: kernel
kernel: ## The jail's kernel layer alone: hostile files with the language layer switched off
	CARGO_TARGET_DIR="$(TARGET_DIR)/raw" cargo nextest run -p plue-evaluator --locked \
		--features raw-language -E 'test(escape)'

.PHONY: unit
unit: ## Unit and integration tests
	scripts/test.sh "$(NEXTEST_PROFILE)"

.PHONY: check-crates
check-crates: ## Compile each crate alone (slow)
	cargo xtask ci-check-crates

.PHONY: dist-evaluator
dist-evaluator: ## The evaluator with its Python inside, for releases
	scripts/dist-evaluator.sh

.PHONY: fuzz
fuzz: ## Fuzz what takes foreign bytes: a minute for each target, 20 s in CI (SECONDS_EACH=…)
	SECONDS_EACH=$(or $(SECONDS_EACH),$(if $(CI),20,60)) scripts/fuzz.sh

.PHONY: bench
bench: ## Benchmarks
	cargo xtask bench

.PHONY: clean-state
clean-state: ## Remove the runs and logs that `make run` stored here
	rm -rf -- "$(STATE_DIR)"

.PHONY: setup-run
setup-run:
	@scripts/setup.sh run

.PHONY: setup-docs
setup-docs:
	@scripts/setup.sh docs

.PHONY: setup-test
setup-test:
	@scripts/setup.sh test
