# Every target does its own set-up: a virtual environment in .venv with the locked packages.
# `make demo` and `make test` are all a newcomer needs.

VENV      := .venv
PY        := $(VENV)/bin/python
PYTHON    ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
PREFIX    ?= /opt/riskbot
JOBS      ?= auto
# Stories with real processes wait more than they compute.
WAITING   ?= 5

CORE_TESTS := tests/core tests/test_config.py tests/test_config_reference.py tests/test_docs.py tests/test_golden_journal.py

RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
# The locks are complete: pip has nothing to resolve, and older ones (23.2) would resolve extras past the pins.
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --no-deps
PIP_COMPILE := $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help demo test check style format bench crash nightly simulate soak setup install lock clean

help:  ## what each target does
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(RUN_STAMP)  ## paper venue on real prices, the whole daemon (DEMO_ARGS=--exit ends by itself)
	$(PY) -m riskbot demo $(DEMO_ARGS)

test: $(DEV_STAMP)  ## all tests of a normal run, the core covered whole (TEST_ARGS: a selection)
ifdef TEST_ARGS
	$(PY) -m pytest -n $(JOBS) $(TEST_ARGS)
else
	@# Measuring slows all that runs: the core's own tests cover it, the others go unmeasured.
	@status=0; set -x; \
	$(PY) -m pytest -n $(JOBS) $(CORE_TESTS) --cov=riskbot/core --cov-branch || status=$$?; \
	$(PY) -m pytest -n $(WAITING) --dist worksteal $(CORE_TESTS:%=--ignore=%) || status=$$?; \
	exit $$status
endif

check: style  ## style, format, types, house rules
	$(PY) -m pytest -q tests/test_tidy.py

style: $(DEV_STAMP)  ## what `make test` leaves out of that: it checks the house rules itself
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy --strict riskbot

format: $(DEV_STAMP)  ## rewrite the code as `make check` wants it
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(DEV_STAMP)  ## measured ratios against references of the same run; asserts nothing
	$(PY) -m tests.bench $(BENCH_ARGS)

crash: export RISKBOT_KILLS ?= 200
crash: $(DEV_STAMP)  ## 200 kills of a real process, recovery each time
	$(PY) -m pytest -m crash --timeout=3600 -n $(JOBS) $(TEST_ARGS)

nightly: $(DEV_STAMP)  ## the stories too long for every run: each venue, each way of failing
	$(PY) -m pytest -m nightly -n $(JOBS) $(TEST_ARGS)

simulate: $(DEV_STAMP)  ## long seeded simulations
	$(PY) -m pytest -m simulate --timeout=0 $(TEST_ARGS)

soak: $(DEV_STAMP)  ## hours of running: memory, loop gaps, leaks
	$(PY) -m pytest -m soak --timeout=0 $(TEST_ARGS)

setup: $(DEV_STAMP)  ## the environment alone

install: $(DEV_STAMP)  ## into PREFIX (/opt/riskbot), with the systemd units; as root, also to upgrade
	rm -rf build dist
	$(PY) -m build --wheel --no-isolation --outdir dist . >/dev/null
	"$(PYTHON)" -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--only-binary=:all: --no-deps -r requirements.lock
	$(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
		--force-reinstall dist/riskbot-*.whl
	rm -rf build dist riskbot.egg-info
	install -d $(PREFIX)/share/doc/riskbot
	cp -R README.md CHANGELOG.md docs config $(PREFIX)/share/doc/riskbot/
	install -D -m 0644 -t $(DESTDIR)/etc/systemd/system systemd/riskbot.service systemd/riskbot-onfailure@.service
	install -D -m 0644 systemd/riskbot.sysusers.conf $(DESTDIR)/etc/sysusers.d/riskbot.conf
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
		systemd-sysusers riskbot.conf && install -d -m 0750 -o root -g riskbot /etc/riskbot && systemctl daemon-reload; fi

lock: export CUSTOM_COMPILE_COMMAND = make lock
lock: | $(PY)  ## resolve requirements*.in into the locks, with hashes
	@$(PY) -c 'import piptools' 2>/dev/null || $(PY) -m pip install --quiet pip-tools
	$(PIP_COMPILE) --output-file requirements.lock $(LOCK_ARGS) requirements.in
	$(PIP_COMPILE) --output-file requirements-dev.lock --constraint requirements.lock $(LOCK_ARGS) \
		requirements.in requirements-dev.in

clean:  ## remove the environment and every cache
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_STAMP): requirements.lock | $(PY)
	@echo "installing the locked packages (once per change of requirements.lock) ..."
	@$(PIP_INSTALL) -r requirements.lock
	@touch $@

$(DEV_STAMP): requirements-dev.lock | $(PY)
	@echo "installing the locked packages and tools (once per change of requirements-dev.lock) ..."
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@ $(RUN_STAMP)

$(PY):
	@if [ -z "$(PYTHON)" ]; then \
		echo "riskbot needs Python 3.11 or newer; on Debian: apt install python3 python3-venv" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "riskbot needs Python 3.11 or newer, and $(PYTHON) is older; name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
