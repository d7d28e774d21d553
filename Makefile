# make demo     set everything up, then see actions recognised
# make test     set everything up, then run the tests
# make check    style, types, import contracts
# make packages the Debian packages alone
# make schemas  write edge_tdn/schemas from the code
# make parity   the README's table of precisions, from the reference weights (most of an hour on 2 cores)
# make bench    every figure of speed and memory beside its baseline (a quarter of an hour; BENCH=--help)
# make bench-cameras   what one runtime gives 1 to 16 cameras (BENCH="--model ... --help")
# make bench-gpu  what a hop costs on a GPU: BENCH="--model DIR --precision bf16"
# make chaos    what becomes of events when process, broker, wire or disk fail (a quarter of an hour; CHAOS=--help)
# make chaos-cameras  what becomes of a daemon whose cameras fail (half an hour; CHAOS=--help)
# make motion   train the shipped model anew (20 minutes on 2 cores)
# make clean    remove the environment and what was built

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What the camera host needs of Debian: GStreamer, and what its Python bindings are built with.
HOST_PACKAGES := gcc pkg-config python3-dev python3-venv libgirepository1.0-dev libcairo2-dev \
	gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
# What the tests need besides: a real broker, a real camera.
TEST_PACKAGES := gstreamer1.0-tools mosquitto mosquitto-clients gir1.2-gst-rtsp-server-1.0 ca-certificates openssl

.PHONY: demo test check packages test-packages schemas parity bench bench-cameras bench-gpu chaos chaos-cameras motion clean

demo: $(VENV)/.host
	$(BIN)/edge-tdn demo $(DEMO)

test: test-packages $(VENV)/.test
	$(BIN)/pytest $(TESTS)

check: test-packages $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

packages:
	@./packages.sh $(HOST_PACKAGES)

test-packages: packages
	@./packages.sh $(TEST_PACKAGES)

schemas: $(VENV)/.host
	$(BIN)/python -c 'from pathlib import Path; from edge_tdn import messages as m; \
		[Path(f"edge_tdn/schemas/{n}.json").write_text(m.json_schema(n)) for n in m.PUBLISHED]'

parity: test-packages $(VENV)/.test
	$(BIN)/python -m tests.parity_table --data $${EDGE_TDN_DATA:-../shared/data} $(PARITY)

bench bench-cameras bench-gpu: test-packages $(VENV)/.test
	$(BIN)/python -m tests.bench$(subst bench-,.,$(filter-out bench,$@)) $(BENCH)

chaos chaos-cameras: test-packages $(VENV)/.test
	$(BIN)/python -m tests.$(subst -,_,$@) $(CHAOS)

# The numbers are those of training/__main__.py
motion: $(VENV)/.test
	$(BIN)/python -m training --out runs/motion
	rm -rf runs/motion/model
	$(BIN)/edge-tdn-export convert runs/motion/weights.safetensors runs/motion/model \
		--labels runs/motion/labels.txt --background still --id motion --size 96 --resize stretch \
		--frame-rate 15 --segment-stride 4
	$(BIN)/edge-tdn-export parity runs/motion/model
	rm runs/motion/model/parity.html runs/motion/model/parity.json
	rm -rf edge_tdn/models/motion && mv runs/motion/model edge_tdn/models/motion

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/pip: | packages
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "edge-tdn needs Python 3.11 or newer that can make environments (Debian: apt-get install python3-venv)."; \
		echo "Another Python than $(PYTHON): make PYTHON=python3.12 ..."; exit 1; }
	@echo "== Python environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# Written anew only when GStreamer has come to this machine or left it.
# Without it (another system, no right to install it) everything runs on OpenCV.
$(VENV)/.extra: packages $(VENV)/bin/pip
	@./packages.sh --extra | cmp -s - $@ || ./packages.sh --extra >$@

$(VENV)/.host: $(VENV)/.extra pyproject.toml constraints.txt
	@echo "== Python packages of the camera host (a minute or so)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$$(cat $<)"
	@touch $@

$(VENV)/.test: $(VENV)/.host
	@echo "== Python packages of the exporter and the tests (PyTorch among them: some minutes)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[export,dev]"
	@touch $@
