# Everything runs through these targets; CI calls the same ones. Needs Python >= 3.10 and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch is installed first, so that nothing pulls another build. The CPU build is enough for demo and tests: pip takes it where
# its index has it, e.g. with PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu; PyPI's own for Linux brings CUDA along.
TORCH ?= torch==2.13.0
EXTRAS ?= all
# Extra requirements of an environment, e.g. CONSTRAIN='transformers>=5'. optimum-onnx needs these with all extras; said at
# once, pip has not to find out by trying.
CONSTRAIN ?= $(if $(filter all,$(EXTRAS)),transformers<4.58 huggingface_hub<1)
# The authors' published data, where it is at hand: real-text tests and benchmarks skip without it.
ifneq ($(wildcard ../shared/data),)
export XPERT_REAL_TEXT ?= $(abspath ../shared/data)
endif
comma := ,
PIP := $(BIN)/python -m pip --disable-pip-version-check
export TOKENIZERS_PARALLELISM := false
# Tests run on several cores side by side, each on one thread: threads that wait for each other are slower on a busy machine.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4
test test-slow check: export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow check fix docs bench bench-real-text results clean

$(BIN)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet -e '.[report]'
	touch $@

$(BIN)/.dev: pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet -e '.[$(if $(EXTRAS),$(EXTRAS)$(comma))dev]' $(foreach requirement,$(CONSTRAIN),'$(requirement)')
	$(PIP) install --quiet --no-deps -e tests/plugin
	touch $@ $(BIN)/.demo

demo: $(BIN)/.demo  ## explain the zoo, select for unseen users, personalize one: about two minutes after installation
	$(BIN)/xpert demo --out out/demo

test: $(BIN)/.dev  ## the tests that need minutes at most
	$(PYTEST) -m "not slow"

test-slow: $(BIN)/.dev  ## the slow ones too
	$(PYTEST)

check: $(BIN)/.dev  ## everything that must be green before a change lands
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(PYTEST) -m "not slow" --cov --cov-report=term

fix: $(BIN)/.dev  ## what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/.dev  ## the documentation site, into site/
	$(BIN)/mkdocs build --strict

bench: $(BIN)/.dev  ## recorded real text through the encoder (needs XPERT_REAL_TEXT)
	$(BIN)/python benchmarks/recorded_style_qa/run.py

bench-real-text: $(BIN)/.dev  ## real text, models trained on it, both summarizers: about 30 minutes (needs XPERT_REAL_TEXT)
	$(BIN)/python benchmarks/real_text/run.py

results: $(BIN)/.dev  ## the paper's experiments at the smallest size, into out/results: 30 to 60 minutes; a second run goes on
	$(BIN)/xpert evaluate all --preset tiny --out out/results --work out/evaluation

clean:
	rm -rf $(VENV) out site build dist
