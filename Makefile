# Everything is built in .venv; a machine needs Python >= 3.11, Rust and make.
PY := .venv/bin/python
.PHONY: demo test lint fmt bench docs check
.NOTPARALLEL:

demo: .venv/native ; @mkdir -p build && $(PY) -m metricsieve scan examples/logs -d examples/definitions.json --all -o build/points.parquet && $(PY) examples/reprocess.py
test: .venv/native ; cargo test --locked --workspace --exclude metricsieve-py && $(PY) -m pytest
lint: .venv/native ; cargo fmt --check && cargo clippy --locked --workspace --all-targets -- -D warnings && $(PY) tools/check_boundaries.py && $(PY) -m ruff check && $(PY) -m ruff format --check && $(PY) -m mypy && $(PY) -m mypy.stubtest metricsieve._native
fmt: .venv/native ; cargo fmt && $(PY) -m ruff check --fix && $(PY) -m ruff format
docs: ; RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --package metricsieve-core
bench: .venv/native ; $(PY) benches/prepare.py && $(PY) benches/run.py $(ARGS)
check: lint docs test

.venv/native: pyproject.toml Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name 'Cargo.toml') ; ./tools/build && touch $@
