# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv first, with pinned versions.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint types tests conformance udp bench clean

demo: $(INSTALLED)
	$(BIN)/openeo-udf-fusion demo

test: lint types tests

lint: $(INSTALLED)
	$(BIN)/ruff check openeo_udf_fusion tests
	$(BIN)/ruff format --check openeo_udf_fusion tests
	$(BIN)/openeo-udf-fusion udp check

types: $(INSTALLED)
	$(BIN)/mypy

tests: $(INSTALLED)
	$(BIN)/python -m pytest

# tests/conformance/README.md says what it asks; the OpenAPI document lies beside the tests.
conformance: $(INSTALLED)
	$(BIN)/python -m pytest -m conformance tests/conformance

udp: $(INSTALLED)
	$(BIN)/openeo-udf-fusion udp write

bench: $(INSTALLED)
	$(BIN)/openeo-udf-fusion bench harmonize_modis_viirs

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	# The other mode finds the package after a folder of the same name, the one that a checkout has, say.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	# For the model in its wheel alone; what its own code needs is not.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps brisque
	touch $@

clean:
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
