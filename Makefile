# make demo            install the camera host (Debian packages with sudo), then show actions being recognised, in the
#                      terminal and on a page for the browser
# make test            install exporter and trainer too, then run the tests (about ten minutes)
# make test-slow       run the tests that take minutes each
# make test-training   run the tests of edge-tdn-train that take minutes
# make test-systemd    as root: install, boot systemd in a container, and test the units (minutes)
# make test-install    as root: install Debian package and container image in fresh systems, and test them (half an hour)
# make test-operate    install Prometheus and Ansible, and test the alerts, the dashboard and the role (minutes)
# make check           run the linter, the type checker, the import contracts and the style rules
# make install         as root: install the camera host for all users, with systemd units (PREFIX=/usr/local, DESTDIR=)
# make uninstall       remove it again; configuration and state stay
# make deb             build dist/edge-tdn_VERSION_ARCH.deb for Debian 12 (ARCH=amd64 or arm64), and the wheel; a rebuild
#                      that apt takes for newer: VERSION=0.1.0+site1
# make dist            build the wheel and the source distribution in dist/
# make packages        install the Debian packages that edge-tdn needs, and nothing else
# make schemas         write edge_tdn/schemas from the code
# make manuals         write manual pages and completion scripts of all three programs into MANUALS=build/manuals
# make parity          measure the table of precisions in docs/models.md (most of an hour on 2 cores)
# make bench           measure speed and memory, each beside its baseline (a quarter of an hour; options: make bench BENCH=--help)
# make bench-cameras   measure 1 to 16 cameras on one runtime (BENCH="--model ... --help")
# make bench-gpu       measure a hop on a GPU: BENCH="--model DIR --precision bf16"
# make chaos           count events under faults of process, broker, network and disk (a quarter of an hour; CHAOS=--help)
# make chaos-cameras   run a daemon whose cameras fail (half an hour; CHAOS=--help)
# make soak            watch a daemon with the page for a day, while clients come and go (SOAK="--minutes 10"; SOAK=--help)
# make motion          train the shipped model again and replace edge_tdn/models/motion (an hour on 2 cores; resumes)
# make ablation        train TDN with and without its parts on generated clips (about two hours; ABLATION=--help)
# make screenshots     take the pictures of the page in docs, in a browser
# make clean           remove the environment and build products

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PREFIX ?= /usr/local
LIBRARY := $(PREFIX)/lib/edge-tdn
PROGRAMS := edge-tdn edge-tdn-export edge-tdn-train
TOOLS := build/tools
ANSIBLE := build/ansible/bin/ansible-playbook

# Debian packages of the camera host: GStreamer, and the build dependencies of its Python bindings. The Debian package
# of edge-tdn depends on the former.
GSTREAMER_PACKAGES := gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base \
	gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
HOST_PACKAGES := gcc pkg-config python3-dev python3-venv libgirepository1.0-dev libcairo2-dev $(GSTREAMER_PACKAGES)
# Debian packages of the tests: a real broker, a real RTSP server, systemd, and what reads manual pages and completion.
TEST_PACKAGES := gstreamer1.0-tools mosquitto mosquitto-clients gir1.2-gst-rtsp-server-1.0 ca-certificates openssl \
	systemd groff-base mandoc zsh fish
# Of the tests of the Debian package and the container image: fresh systems, and what runs them.
INSTALL_PACKAGES := mmdebstrap systemd-container lintian podman podman-compose runc netavark aardvark-dns iptables
# Of the tests of the page: a real browser.
BROWSER_PACKAGES := chromium fonts-dejavu-core

# Most tests wait: more of them than processors run side by side, each file in one process. One thread for each is enough.
# Tests start hundreds of programs: their bytecode is kept, also in a container whose environment forbids it.
WORKERS ?= 6
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

CHECK_PYTHON = $(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "edge-tdn needs Python 3.11 or newer that can make environments (Debian: sudo apt install python3-venv)."; \
	echo "To use another Python than $(PYTHON): make PYTHON=python3.12 ..."; exit 1; }

SHARE := $(DESTDIR)$(PREFIX)/share/doc/edge-tdn
EXAMPLES := mosquitto notify home-assistant node-red prometheus grafana
SYSTEMD := $(DESTDIR)$(PREFIX)/lib/systemd/system
SYSUSERS := $(DESTDIR)$(PREFIX)/lib/sysusers.d
MAN1 := $(DESTDIR)$(PREFIX)/share/man/man1
BASH := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSH := $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISH := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
MANUALS ?= build/manuals

.PHONY: demo test test-slow test-training test-systemd test-install test-operate check install files uninstall dist deb python packages test-packages browser schemas manuals parity bench bench-cameras bench-gpu chaos chaos-cameras soak screenshots motion ablation clean

demo: $(VENV)/.host
	$(BIN)/edge-tdn demo --web $(DEMO)

test: test-packages $(VENV)/.test
	$(PYTEST) $(TESTS)

test-slow: test-packages browser $(VENV)/.test
	$(PYTEST) -m slow $(TESTS)

test-training: test-packages $(VENV)/.test
	$(BIN)/pytest -m training

test-systemd: test-packages $(VENV)/.test $(ANSIBLE)
	@packaging/packages.sh systemd-container
	EDGE_TDN_ANSIBLE=$(CURDIR)/$(dir $(ANSIBLE)) $(BIN)/pytest -m nspawn -rP tests/system/test_systemd.py tests/operate/test_host.py

test-operate: test-packages $(VENV)/.test $(ANSIBLE)
	@packaging/packages.sh prometheus
	EDGE_TDN_ANSIBLE=$(CURDIR)/$(dir $(ANSIBLE)) $(BIN)/pytest -m 'prometheus or ansible' tests/operate

$(ANSIBLE):
	@$(PYTHON) -m venv build/ansible
	@build/ansible/bin/pip install --quiet --disable-pip-version-check 'ansible-core>=2.14'

test-install: test-packages $(VENV)/.test
	@packaging/packages.sh $(INSTALL_PACKAGES)
	$(BIN)/pytest -m install -rP tests/system/test_debian_package.py tests/system/test_container_image.py

check: test-packages $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m style tests/style

# Installed beside the old version first, so that a failed update changes nothing; then the paths are rewritten.
install: packages python
	@case $$($(PYTHON) -c 'import sys; print(sys.base_prefix)') in /home/*|/root/*) \
		echo "$(PYTHON) is in a home directory, which services cannot read; use: make install PYTHON=/usr/bin/python3"; exit 1;; esac
	@install -d $(DESTDIR)$(PREFIX)/lib || { echo "As root: sudo make install"; exit 1; }
	@echo "== $(DESTDIR)$(LIBRARY) (a minute or so)"
	@rm -rf $(DESTDIR)$(LIBRARY).new
	@$(PYTHON) -m venv $(DESTDIR)$(LIBRARY).new
	@$(DESTDIR)$(LIBRARY).new/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt \
		".$$(PYTHON=$(PYTHON) packaging/packages.sh --extra)"
	@$(DESTDIR)$(LIBRARY).new/bin/python -m compileall -qq -s $(DESTDIR)$(LIBRARY).new -p $(LIBRARY) \
		$(DESTDIR)$(LIBRARY).new/lib || true
	@cd $(DESTDIR)$(LIBRARY).new/bin && sed -i 's|$(DESTDIR)$(LIBRARY).new|$(LIBRARY)|g' $(PROGRAMS)
	@rm -rf $(DESTDIR)$(LIBRARY)
	@mv $(DESTDIR)$(LIBRARY).new $(DESTDIR)$(LIBRARY)
	@$(MAKE) -s files
	@test -n "$(DESTDIR)" || ! command -v systemd-sysusers >/dev/null || systemd-sysusers
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || systemctl daemon-reload
	@echo "Installed. Now:"
	@echo "  edit /etc/edge-tdn/site.toml         your cameras and broker; edge-tdn reference prints every key"
	@echo "  edge-tdn doctor                      tests them all; man edge-tdn has every command"
	@echo "  systemctl enable --now edge-tdn      (a second site: /etc/edge-tdn/yard.toml, edge-tdn@yard)"
	@echo "  systemctl status edge-tdn; journalctl -fu edge-tdn"
	@echo "After an update: systemctl try-restart 'edge-tdn*'"

# What is installed beside the Python packages; also for the Debian package, which cannot run its own Python here.
RUN = $(DESTDIR)$(LIBRARY)/bin/python -I
files:
	@install -d $(DESTDIR)$(PREFIX)/bin $(SYSTEMD) $(SYSUSERS) $(SHARE) $(MAN1) $(BASH) $(ZSH) $(FISH) $(DESTDIR)/etc/edge-tdn
	@sed 's|/usr/local|$(PREFIX)|g' systemd/edge-tdn@.service >$(SYSTEMD)/edge-tdn@.service
	@sed '1,3d; /^DefaultInstance/d; s|%i|site|g' $(SYSTEMD)/edge-tdn@.service >$(SYSTEMD)/edge-tdn.service
	@install -m 644 systemd/sysusers.conf $(SYSUSERS)/edge-tdn.conf
	@install -m 644 configs/reference.toml systemd/site.conf systemd/rtsp-cpu.conf systemd/cuda.conf $(SHARE)
	@set -e; for name in $(EXAMPLES); do \
		install -d $(SHARE)/examples/$$name; install -m 644 configs/$$name/*.* $(SHARE)/examples/$$name; done
	@test -e $(DESTDIR)/etc/edge-tdn/site.toml || install -m 644 configs/demo.toml $(DESTDIR)/etc/edge-tdn/site.toml
	@for name in $(PROGRAMS); do ln -sfn ../lib/edge-tdn/bin/$$name $(DESTDIR)$(PREFIX)/bin/$$name; done
	@set -e; for name in $(PROGRAMS); do \
		program="$(RUN) $(DESTDIR)$(LIBRARY)/bin/$$name"; \
		$$program man >$(MAN1)/$$name.1; \
		$$program completion bash >$(BASH)/$$name; \
		$$program completion zsh >$(ZSH)/_$$name; \
		$$program completion fish >$(FISH)/$$name.fish; done

uninstall:
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || \
		systemctl list-units --all --plain --no-legend 'edge-tdn*.service' | \
		while read -r unit rest; do systemctl disable --now "$$unit"; done
	rm -rf $(DESTDIR)$(LIBRARY) $(DESTDIR)$(LIBRARY).new $(SHARE)
	rm -f $(SYSTEMD)/edge-tdn@.service $(SYSTEMD)/edge-tdn.service $(SYSUSERS)/edge-tdn.conf
	rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%) $(PROGRAMS:%=$(MAN1)/%.1) $(PROGRAMS:%=$(BASH)/%) \
		$(PROGRAMS:%=$(ZSH)/_%) $(PROGRAMS:%=$(FISH)/%.fish)
	@test -n "$(DESTDIR)" || ! test -d /run/systemd/system || \
		{ systemctl daemon-reload; systemctl reset-failed 'edge-tdn*' 2>/dev/null || true; }
	@echo "Not removed: /etc/edge-tdn, /etc/default/edge-tdn, /etc/credstore, drop-ins in /etc/systemd/system,"
	@echo "  /var/lib/private/edge-tdn (events), /var/cache/private/edge-tdn"
	@echo "The broker retains what hosts have left there, such as the last pictures and the devices of Home Assistant."
	@echo "  To remove it, in a checkout: $(BIN)/edge-tdn forget HOST --broker mqtt://BROKER (with a login: --config FILE)"

# The source distribution first, and the wheel from it. Of one version only, so that dist/*.whl names one file.
dist: $(TOOLS)/.installed
	@rm -rf dist/edge_tdn-*
	@$(TOOLS)/bin/python -m build --outdir dist .

deb: dist
	@DEPENDS="$(GSTREAMER_PACKAGES)" VERSION="$(VERSION)" packaging/deb.sh $(ARCH)

packages:
	@packaging/packages.sh $(HOST_PACKAGES)

test-packages: packages
	@packaging/packages.sh $(TEST_PACKAGES)

browser: packages
	@packaging/packages.sh $(BROWSER_PACKAGES)

schemas: $(VENV)/.host
	$(BIN)/python -c 'from pathlib import Path; from edge_tdn import status_messages as m; \
		[Path(f"edge_tdn/schemas/{n}.json").write_text(m.json_schema(n)) for n in m.PUBLISHED]'

manuals: $(VENV)/.test
	@mkdir -p $(MANUALS)
	@set -e; for program in $(PROGRAMS); do \
		$(BIN)/$$program man >$(MANUALS)/$$program.1; \
		for shell in bash zsh fish; do $(BIN)/$$program completion $$shell >$(MANUALS)/$$program.$$shell; done; done

parity: test-packages $(VENV)/.test
	$(BIN)/python -m tests.bench.parity_table --data $${EDGE_TDN_DATA:-../shared/data} $(PARITY)

bench bench-cameras bench-gpu: test-packages $(VENV)/.test
	$(BIN)/python -m tests.bench$(subst bench-,.,$(filter-out bench,$@)) $(BENCH)

chaos chaos-cameras: test-packages $(VENV)/.test
	$(BIN)/python -m tests.$(subst -,_,$@) $(CHAOS)

soak: test-packages $(VENV)/.test
	$(BIN)/python -m tests.soak $(SOAK)

screenshots: test-packages browser $(VENV)/.test
	$(BIN)/python -m tests.screenshots $(SCREENSHOTS)

motion: $(VENV)/.test
	rm -rf runs/motion/model
	$(BIN)/edge-tdn-train motion --out runs/motion
	rm -rf edge_tdn/models/motion && mv runs/motion/model edge_tdn/models/motion

ablation: $(VENV)/.test
	$(BIN)/edge-tdn-train ablation --out runs/ablation $(ABLATION)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

python: packages
	@$(CHECK_PYTHON)

$(VENV)/bin/pip: | python
	@echo "== Python environment $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(TOOLS)/.installed: pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	@echo "== Python environment $(TOOLS)"
	@$(PYTHON) -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt build uv
	@touch $@

# Rewritten only when GStreamer was installed or removed. Without it, OpenCV plays the cameras.
$(VENV)/.extra: packages $(VENV)/bin/pip
	@packaging/packages.sh --extra | cmp -s - $@ || packaging/packages.sh --extra >$@

$(VENV)/.host: $(VENV)/.extra pyproject.toml constraints.txt
	@echo "== Python packages of the camera host (a minute or so)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$$(cat $<)"
	@touch $@

$(VENV)/.test: $(VENV)/.host
	@echo "== Python packages of the exporter and the tests (PyTorch among them: some minutes)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[export,dev]"
	@touch $@
