# Two commands do all the set-up: `make label` for a first look, `make test` for everything that must hold.
# Both make the environment in .venv where it is missing. PYTHON names another interpreter (3.11 or newer).

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT := out
TORCH := torch==2.13.0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help label test format lint types imports docs wheel clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) here. Name one of 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# torch first, on its own: asked for by another package it may bring several GB of CUDA along.
$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

label: $(VENV)/.installed ## Label examples/pairs.jsonl with the built-in critic
	@mkdir -p $(OUT)
	$(BIN)/aifeedback label examples/pairs.jsonl --critic builtin --store $(OUT)/replies.sqlite -o $(OUT)/labels.jsonl --summary $(OUT)/summary.json
	@echo "The labels lie in $(OUT)/labels.jsonl, what got none and why in $(OUT)/labels.rest.jsonl."
	@echo "Next: source $(VENV)/bin/activate, and aifeedback label YOURS.jsonl --critic openai/gpt-5-mini -o labels.jsonl"

test: $(VENV)/.developing ## Check format, lint, types, import contracts and run all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report= --durations=5
	$(BIN)/coverage report --include='$(PURE)' --fail-under=95

comma := ,
empty :=
space := $(empty) $(empty)
PURE_ROOMS := errors records prices settings jsontext templates template_file template_lint front_matter fences verdicts/* reconcile measures keys summary missing length_control calibration gates biases ending junit markdown markdown_summary panel alpha served families rows rereading softness surface forms/* report/account report/advice report/bias_parts report/contested report/entries report/facts report/findings report/kin report/kinds report/lengths report/markdown report/parts report/sampling report/setup_parts report/sureness report/view report/wording doctor/findings doctor/answers doctor/causes doctor/probes doctor/advice endpoints/logprobs noticed exports/row exports/carrying exports/format exports/formats exports/trl exports/trl_implicit exports/trl_kto exports/trl_reward exports/openai exports/axolotl exports/llamafactory exports/openrlhf exports/halos exports/hh exports/table exports/shares exports/settings exports/recognising exports/checking evaluation/figures evaluation/resampling evaluation/statistics evaluation/humans evaluation/comparing evaluation/record evaluation/reporting evaluation/findings evaluation/planning evaluation/groups evaluation/baselines evaluation/collecting evaluation/page training/checks training/examples training/reading training/findings training/interleaving training/split training/falling_apart training/settings
PURE = $(subst $(space),$(comma),$(patsubst %,aifeedback/%.py,$(PURE_ROOMS)))

format: $(VENV)/.developing ## Put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.developing ## Write docs/commands.md anew from --help
	$(BIN)/python docs/write_commands.py

wheel: $(VENV)/.developing ## Build the wheel
	$(BIN)/python -m build --wheel

clean: ## Remove what these commands made
	rm -rf $(VENV) $(OUT) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
