# `make` lists the targets. Each one makes .venv first, from the hash-pinned lock.
PYTHON ?= python3
BIN := .venv/bin
LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --fork-strategy fewest -q
# .venv is made anew when the lock or the Python version changes
STAMP = .venv/made-$(shell cat requirements.lock | cksum | cut -d' ' -f1)-$(shell $(PYTHON) -c 'import platform; print(platform.python_version())')

.DEFAULT_GOAL := help
.PHONY: help env figures test bench readings calibration readme notebooks profile report app lab screenshots environment lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP) ## make .venv and nothing else (seconds with uv)

$(STAMP):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"edgecache needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: try make PYTHON=python3.12")'
	@tools/install.sh "$(PYTHON)"
	@touch $@

figures: $(STAMP) ## redraw every figure of the paper into figures/, with its table in data/results/
	$(BIN)/edgecache reproduce

test: $(STAMP) ## prove it: the tests, and every notebook
	$(BIN)/python -m pytest -n 2 --dist loadfile tests notebooks

bench: $(STAMP) ## measure speed side by side, into data/results/benchmarks.csv
	$(BIN)/python tools/bench.py

profile: $(STAMP) ## measure real networks on this machine, into build/profile/ (PRESET=paper for 30 cycles of 10)
	$(BIN)/edgecache profile --preset $(or $(PRESET),quick) --out build/profile/profile.csv
	$(BIN)/edgecache replay build/profile/profile.csv --reading delay

app: $(STAMP) ## serve the explorer as a page, on this machine alone (PORT=8890 for another port)
	$(BIN)/edgecache app $(if $(PORT),--port $(PORT))

readings: $(STAMP) ## search the readings of the paper for its claims, into data/results/ (ten minutes, goes on where it was stopped)
	$(BIN)/edgecache readings

calibration: $(STAMP) ## measure how often intervals cover and verdicts err, into data/results/ (five minutes)
	$(BIN)/python tools/calibration.py

readme: $(STAMP) ## write the generated parts of README.md and docs/, and the metadata
	$(BIN)/python tools/metadata.py
	$(BIN)/python tools/readme.py

notebooks: $(STAMP) ## execute the notebooks and refresh the committed copies
	$(BIN)/python tools/refresh.py

report: $(STAMP) ## build the documentation with the notebooks as a static site into build/report/
	$(BIN)/python tools/report.py

# the root is the checkout, or links out of notebooks/ lead nowhere; Jupyter refuses to run as root unless told to
lab: $(STAMP) ## open JupyterLab on the notebooks (PORT=8890 for another port)
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter lab --ServerApp.root_dir=. $(if $(PORT),--port $(PORT)) \
		$(if $(filter 0,$(shell id -u)),--allow-root) notebooks/index.ipynb

screenshots: $(STAMP) ## take the screenshots of the explorer in the browser tests
	$(BIN)/python -m pytest tests/browser/test_browser.py
	mkdir -p figures/screenshots
	cp build/screenshots/explorer.png figures/screenshots/

environment: $(STAMP) ## write environment.yml from pyproject.toml
	$(BIN)/python tools/environment.py

lock: ## resolve requirements.lock and tools/uv.txt anew (needs uv)
	uv pip compile pyproject.toml --extra test --group dev $(LOCK_FLAGS) -o requirements.lock
	echo uv | uv pip compile - $(LOCK_FLAGS) -o tools/uv.txt

clean: ## remove .venv, build/ and every cache
	rm -rf .venv build .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
