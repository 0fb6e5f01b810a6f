# Each target does its whole set-up: `make run` and `make test` need Python 3.11 or later and
# nothing else.

PYTHON ?= python3
VENV ?= .venv
ARGS ?= --port=5002
TESTS ?= tests

bin = $(VENV)/bin
sources = setup.cfg pyproject.toml README.rst \
	$(shell find gameservers twisted/plugins -type f -not -name '*.pyc' -not -name 'dropin.cache')
install = rm -rf build; $(bin)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test check docs clean

run: $(VENV)/.installed
	$(bin)/twistd --nodaemon --pidfile= gameserver $(ARGS)

test: $(VENV)/.installed-test
	$(bin)/python -m twisted.trial $(TESTS)

check: $(VENV)/.installed-dev
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports

docs: $(VENV)/.installed-docs
	$(bin)/python -m sphinx -W --keep-going docs docs/build/html

clean:
	rm -rf $(VENV) build docs/build *.egg-info _trial_temp* .hypothesis tests/integration/browser/node_modules

$(bin)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(bin)/python $(sources)
	$(install) .
	touch $@

$(VENV)/.installed-%: $(bin)/python $(sources)
	$(install) '.[$*]'
	touch $@
