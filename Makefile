# What `make` alone prints: the lines below that begin with `# make`, and those that go on with them.
#
# make install      install everything into .venv: serving, training, tests
# make serve        install the serving dependencies and serve the shipped model on HOST:PORT
# make test         install what the tests need and run them: some minutes
# make test-app     the tests of app/ with the serving dependencies alone, without torch, in .venv-app
# make test-clients the clients for Python and TypeScript against the service; fetches TypeScript from npm
# make test-long    run those that take longer: all 10,000 test digits through HTTP, a training that is killed and resumed
# make image-smoke  build the image, by Docker or buildah, and try it; VARIANT=gpu for CUDA's: some minutes
# make nginx-test   restart two services behind nginx one by one, under load
# make check        format, lint, types, import contracts, Dockerfile
# make format       put the code into the form that check wants
# make train        data, finder, glyphs, classifier, export, and a candidate next to the served version: some three hours of one
#                   core; SEED=… for another seed, PICTURES=… for folders of your own pictures to compare by, HANDS=… for sets of digits
# make train-fast   the same on fewer scenes, to try a change: a reader in some 16 minutes on one core
# make hub          write a model repository for Hugging Face, with the served version and a program that reads: dist/hub
# make netron       look at the graph of RUN's exported model in the browser
# make pictures     draw the pictures of the docs anew, with the shipped model
# make time-to-accuracy  train to 99.0 % by the classic recipe and by ours, and compare: half an hour on one core
# make bench        measure the service next to floors and peers, and soak it: docs/performance.md; installs the peers, half an hour
# make bulk         read many pictures next to a plain loop, and measure the memory: docs/bulk.md, five minutes
# make ray          install Ray into .venv-ray, and try Ray Serve and Ray Data on three nodes on loopback: minutes
# make ray-scaling  measure how throughput grows from one replica to two: docs/ray.md
# make finding      measure what decoding a picture and finding its digit cost
# make observing    measure what metrics and logs cost a request
# make keeping      measure what keeping answers costs a request: docs/corrections.md
# make postgres     keep answers in a real PostgreSQL; needs initdb and pg_ctl; installs its driver
# make structure    print the layout in figures: levels of imports, files a request runs through, what an import costs
# make before-after measure what the change since the checkout BEFORE costs a request, by turns
# make prometheus   check the alert rules, and let a real Prometheus scrape the service; needs prometheus and promtool
# make cost         measure what each network costs next to the tutorial's; RUNS=… adds accuracies: docs/cost.md
# make openvino     run the stored models in OpenVINO and compare with the service's numbers; installs it, a minute
# make runtime      fetch onnxruntime-web from npm, checked, so that the page can read in the browser, too
# make page-test    test the page in Chromium with what it needs fetched, then draw and photograph digits for it: docs/page.md
# make docs         build the site of docs/ into dist/site; a warning or a broken link is an error
# make reference    write docs/http.md's tables and docs/cli.md anew, from the code
# make stale        list the documents whose figures are older than what they measure; fails if there are any
# make openapi      write docs/openapi.json anew
# make robustness   measure how well made photos are read as they get worse: docs/robustness.md, a few minutes on one core;
#                   EARLIER=… names a checkout of an earlier version to compare with, TUTORIAL=… a run of the tutorial's network
# make fuzz         200,000 nasty and damaged pictures, each measured: docs/reliability.md; goes on where it was interrupted
# make attack       hostile pictures, two at a time, against a service that somebody else uses: docs/reliability.md; minutes
# make chaos        an hour (MINUTES=…) of good and bad requests while processes are killed, the database is locked, the folder is
#                   full and the clock jumps: docs/reliability.md; the last two need root and libfaketime
# make lock         write the image's requirements anew, pinned and hashed: requirements/
# make audit        look for known faults in what the image installs; needs PyPI
# make sbom         list what the image installs, as CycloneDX: dist/sbom-VARIANT.json

HOST ?= $(or $(NUMERAL_HOST),127.0.0.1)
PORT ?= $(or $(NUMERAL_PORT),8000)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
OPENVINO := .venv-openvino
RAY := .venv-ray
SUPPLY := .venv-supply
APP := .venv-app
SEED ?= 1
FINDER ?= runs/finder-$(SEED)
RUN ?= runs/open-$(SEED)

help:
	@sed -n 's/^# \(make .*\|                  .*\)/\1/p' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.developing

.PHONY: help install serve test test-app test-clients test-long check format train train-fast hub netron openapi pictures robustness time-to-accuracy bench finding cost openvino \
	runtime page-test image-smoke nginx-test bulk ray ray-scaling keeping postgres prometheus observing structure before-after fuzz attack chaos lock audit sbom docs reference stale

serve: $(VENV)/.serving
	@$(BIN)/python -m app serve --host $(HOST) --port $(PORT)

test: $(VENV)/.developing
	$(BIN)/python -m pytest

test-app: $(APP)/.complete
	$(APP)/bin/python -m pytest tests/app tests/service

test-clients: $(VENV)/.developing
	@test -e clients/typescript/node_modules/typescript || npm install --prefix clients/typescript --ignore-scripts --no-audit --no-fund
	$(BIN)/python -m pytest tests/clients

test-long: $(VENV)/.developing
	$(BIN)/python -m pytest -m long

image-smoke: $(VENV)/.developing
	VARIANT=$(or $(VARIANT),cpu) $(BIN)/python -m pytest -m image -n 0 -v -rP tests/deploy

nginx-test: $(VENV)/.developing
	$(BIN)/python -m pytest -m nginx -n 0 -v -rP tests/deploy

check: $(VENV)/.developing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.developing
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An interrupted run goes on where it was.
going_on = $(if $(wildcard $(1)/config.json),--resume,--recipe $(2) --seed $(SEED))

train: $(VENV)/.developing
	$(BIN)/python -m training data
	$(BIN)/python -m training train --run $(FINDER) $(call going_on,$(FINDER),finder)
	$(BIN)/python -m training train --run $(RUN) $(call going_on,$(RUN),reader --finder $(FINDER))
	$(BIN)/python -m training export --run $(RUN)
	$(BIN)/python -m training publish --run $(RUN) $(addprefix --pictures ,$(PICTURES)) $(addprefix --hands ,$(HANDS))

train-fast: $(VENV)/.developing
	$(BIN)/python -m training data
	$(BIN)/python -m training train --run $(FINDER)-fast $(call going_on,$(FINDER)-fast,finder-fast)
	$(BIN)/python -m training train --run $(RUN)-fast $(call going_on,$(RUN)-fast,reader-fast --finder $(FINDER)-fast)
	$(BIN)/python -m training export --run $(RUN)-fast

hub: $(VENV)/.developing
	$(BIN)/python -m training hub --output dist/hub

netron: $(VENV)/.developing
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt netron
	$(BIN)/netron $(RUN)/model.onnx

docs: $(VENV)/.developing
	$(BIN)/python -m sphinx --fresh-env --write-all --fail-on-warning --keep-going --nitpicky --quiet docs dist/site
	@echo "dist/site/index.html"

reference: $(VENV)/.developing
	$(BIN)/python -m docs.reference

stale: $(VENV)/.developing
	$(BIN)/python -m docs.stale

openapi: $(VENV)/.developing
	$(BIN)/python -m docs.openapi

pictures: $(VENV)/.developing
	$(BIN)/python -m docs.pictures
	$(BIN)/python -m docs.screenshots
	$(BIN)/python -m docs.demo

robustness: $(VENV)/.developing
	$(BIN)/python -m benchmarks.accuracy.robustness $(if $(EARLIER),--earlier $(EARLIER)) $(if $(TUTORIAL),--tutorial $(TUTORIAL))

time-to-accuracy: $(VENV)/.developing
	$(BIN)/python -m benchmarks.learning.time_to_accuracy --most 16

bench: $(VENV)/.developing
	@test -e $(PEERS)/.complete || { $(PYTHON) -m venv $(PEERS) && $(PEERS)/bin/python -m pip install --quiet \
		--disable-pip-version-check -c benchmarks/serving/peers.txt -e '.[cpu]' litserve bentoml && touch $(PEERS)/.complete; }
	$(BIN)/python -m benchmarks.serving --peers $(PEERS)/bin/python --soak-minutes 10

openvino:
	@test -e $(OPENVINO)/.complete || { $(PYTHON) -m venv $(OPENVINO) && $(OPENVINO)/bin/python -m pip install --quiet \
		--disable-pip-version-check -c constraints.txt -e '.[cpu]' openvino && touch $(OPENVINO)/.complete; }
	$(OPENVINO)/bin/python -m benchmarks.cost.openvino_agreement

bulk: $(VENV)/.developing
	$(BIN)/python -m benchmarks.scaling.bulk compare
	$(BIN)/python -m benchmarks.scaling.bulk memory

ray: $(RAY)/.complete $(VENV)/.developing
	$(BIN)/python -m pytest -n 0 -m ray tests/deploy

ray-scaling: $(RAY)/.complete $(VENV)/.developing
	$(BIN)/python -m benchmarks.scaling.ray_scaling

fuzz: $(VENV)/.developing
	$(BIN)/python -m tests.fuzz --cases $(or $(CASES),200000)

attack: $(VENV)/.developing
	$(BIN)/python -m tests.service.attack
	$(BIN)/python -m tests.service.attack_fair

chaos: $(VENV)/.developing
	$(BIN)/python -m tests.service.chaos --minutes $(or $(MINUTES),60) --plot docs/images/chaos.png

# These tools are no part of the project's environment, nor pinned by it.
lock audit sbom: VARIANTS := $(or $(VARIANT),cpu gpu)

$(SUPPLY)/.complete:
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check uv pip-audit cyclonedx-bom
	@touch $@

lock: $(SUPPLY)/.complete
	for variant in $(VARIANTS); do $(SUPPLY)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --extra $$variant --extra heif pyproject.toml -c constraints.txt -o requirements/$$variant.txt || exit; done

audit: $(SUPPLY)/.complete
	for variant in $(VARIANTS); do $(SUPPLY)/bin/pip-audit --disable-pip --require-hashes -r requirements/$$variant.txt || exit; done

# The version stands in app/__init__.py, where cyclonedx-py does not look.
dist/pyproject.toml: pyproject.toml app/__init__.py
	@mkdir -p dist
	sed "s/^dynamic = .*/$$(sed -n 's/^__version__/version/p' app/__init__.py)/" pyproject.toml > $@

sbom: $(SUPPLY)/.complete dist/pyproject.toml
	for variant in $(VARIANTS); do $(SUPPLY)/bin/cyclonedx-py requirements --pyproject dist/pyproject.toml --output-reproducible \
		--of JSON -o dist/sbom-$$variant.json requirements/$$variant.txt || exit; done

finding: $(VENV)/.developing
	$(BIN)/python -m benchmarks.cost.finding

runtime: $(VENV)/.serving
	$(BIN)/python -m app.web.page.onnxruntime_web

page-test: $(VENV)/.developing
	$(BIN)/python -m app.web.page.onnxruntime_web
	$(BIN)/python -m tests.page.axe
	$(BIN)/python -m pytest -m page
	$(BIN)/python -m benchmarks.serving.page

prometheus: $(VENV)/.developing
	$(BIN)/python -m pytest -n 0 -m "prometheus or not prometheus" tests/test_monitoring.py

keeping: $(VENV)/.developing
	$(BIN)/python -m benchmarks.serving.keeping

postgres: $(VENV)/.developing
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'psycopg[binary]'
	$(BIN)/python -m pytest -n 0 -m postgres tests/app/corrections

structure: $(VENV)/.developing
	$(BIN)/python -m benchmarks.cost.module_layout

before-after: $(VENV)/.developing
	$(BIN)/python -m benchmarks.serving.before_after $(BEFORE)

observing: $(VENV)/.developing
	$(BIN)/python -m benchmarks.serving.observing

cost: $(VENV)/.developing
	$(BIN)/python -m benchmarks.cost.networks $(RUNS)

# A stamp is written last and removed first: where there is none, an install was interrupted, and begins anew.
$(VENV)/.serving: pyproject.toml constraints.txt
	@echo "Installing the serving dependencies into $(VENV) …"
	@test -e $@ || rm -rf $(VENV)
	@rm -f $(VENV)/.serving $(VENV)/.developing
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Numeral needs Python 3.11 or later; name one by PYTHON=")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu]'
	@touch $@

$(VENV)/.developing: $(VENV)/.serving
	@echo "Installing what tests and training need into $(VENV) …"
	@rm -f $(VENV)/.serving
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,bulk,corrections,docs,heif,otel,training]' --group dev
	@touch $(VENV)/.serving $@

$(APP)/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(APP)
	@$(APP)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(APP)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,bulk,corrections,heif,otel]' --group test
	@touch $@

$(RAY)/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(RAY)
	@$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,ray]'
	@touch $@
