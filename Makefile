# Everything a maintainer runs. `make help` lists it; .ci/run calls the same targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
NODES ?=
BIN := .venv/bin
STAMP := .venv/.installed
CRD := crds/smtpgateways.yaml
CHART := charts/smtp-gateway-operator
LAB := NODES=$(NODES) $(PYTHON) -m tests.lab

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2} /^## / {printf "\n%s\n", substr($$0, 4)}' $(MAKEFILE_LIST)

## Work
.PHONY: setup
setup: $(STAMP) ## Make the virtual environment from the locked requirements

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: format
format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

.PHONY: crds
crds: setup ## Write the CRD from the models, and the chart's copy of it
	$(BIN)/python -m smtp_gateway.config.crd $(CRD) $(CHART)/files/smtpgateways.yaml

.PHONY: golden
golden: setup ## Write the golden manifests anew; read the difference before you commit it
	$(BIN)/python -m tests.golden

.PHONY: docs
docs: setup ## Write the tables of the protocol, metrics, conditions, Events, clients and the chart's values from their sources
	$(BIN)/python -m smtp_gateway.listener.protocol > docs/protocol.md
	$(BIN)/python -m smtp_gateway.telemetry.table > docs/metrics.md
	$(BIN)/python -m smtp_gateway_operator.metrics > docs/operator-metrics.md
	$(BIN)/python -m smtp_gateway_operator.status.catalogue > docs/operations.md
	$(BIN)/python -m tests.clients.table > docs/clients.md
	$(BIN)/python -m tests.chart.readme > $(CHART)/README.md

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards from what they show
	for name in fleet gateway; do $(BIN)/python -m dashboards $$name > $(CHART)/files/dashboards/$$name.json; done

.PHONY: pictures
pictures: setup ## Draw the README's pictures of the dashboards from five minutes of gateways under load
	$(BIN)/python -m tests.chart.pictures

.PHONY: kustomize
kustomize: setup ## Write the kustomize base from the chart, with the lab's helm
	$(BIN)/python -m tests.chart.kustomize > charts/kustomize/operator.yaml.new
	mv charts/kustomize/operator.yaml.new charts/kustomize/operator.yaml

.PHONY: lock
lock: setup ## Lock the requirements anew: hashes, no index addresses
	for name in build; do $(BIN)/uv pip compile $(LOCK) requirements/$$name.in -o requirements/$$name.txt; done
	for extra in gateway operator; do $(BIN)/uv pip compile $(LOCK) pyproject.toml --extra $$extra -o requirements/$$extra.txt; done
	$(BIN)/uv pip compile $(LOCK) pyproject.toml requirements/build.in --extra gateway --extra operator --extra dev -o requirements/dev.txt
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-strip-extras

## Prove
.PHONY: check
check: setup ## Lint, types, import contracts, generated files up to date
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.generated

.PHONY: test
test: setup ## Every tier, the cluster included (boots one when none is there)
	$(BIN)/python -m tests.tiers

.PHONY: test-local
test-local: setup ## The tiers that need no cluster (three of them need root)
	$(BIN)/python -m tests.tiers unit loopback faults volume crash clients world

.PHONY: test-cluster
test-cluster: setup ## The tiers that need a cluster alone
	$(BIN)/python -m tests.tiers chart cluster nodes

.PHONY: crash
crash: setup ## Kill the gateway KILLS=2000 times, cut the power with SEEDS=20 chances a step; prints what was counted
	KILLS=$(KILLS) SEEDS=$(SEEDS) $(BIN)/python -m pytest -q -rA --show-capture=no --durations=5 --timeout-method=thread tests/crash/test_gateway_kill.py tests/crash/test_power_cut.py
KILLS ?= 2000
SEEDS ?= 20

.PHONY: test-long
test-long: setup ## What is too long for every day: queues of up to a million messages, and the Prometheus Operator's own controllers
	$(BIN)/python -m bench.backlog --assert
	$(BIN)/python -m tests.tiers monitoring

.PHONY: fuzz
fuzz: setup ## Talk FUZZ=5000 random conversations with the listener, and compare each reply with a model of RFC 5321
	FUZZ=$(FUZZ) $(BIN)/python -m pytest -q --show-capture=no --timeout-method=thread tests/pipeline/test_machine.py
FUZZ ?= 5000

.PHONY: bench
bench: setup ## Measure beside Postfix, Exim and Haraka (BENCH="--rows AB --rounds 5", BENCH="--accept" for taking mail alone); needs root, Go, Node.js
	$(BIN)/python -m bench $(BENCH)

.PHONY: bench-fairness
bench-fairness: setup ## Time one login's small mail beside another's flood (BENCH="--messages 100000")
	$(BIN)/python -m bench.fairness $(BENCH)

.PHONY: bench-memory
bench-memory: setup ## Read the gateway's memory under 100 concurrent messages of 10 MB
	$(BIN)/python -m bench.memory $(BENCH)

.PHONY: bench-dkim
bench-dkim: setup ## Time DKIM signatures on one core, and in a thread beside a busy loop (BENCH="--seconds 5")
	$(BIN)/python -m bench.dkim $(BENCH)

.PHONY: torture
torture: setup ## Attack the gateway: idle crowds, slow senders, endless lines, a million RCPT (BENCH="--scale 0.02")
	$(BIN)/python -m bench.torture $(BENCH)

.PHONY: bench-operator
bench-operator: setup ## Time 200 gateways on the cluster's API server, and count what they cost (BENCH="--gateways 50 --minutes 1")
	$(BIN)/python -m bench.fleet $(BENCH)

## Try
.PHONY: demo
demo: ## From nothing to a delivered mail on a real cluster, step by step
	@$(PYTHON) -m tests.demo

.PHONY: cluster-up
cluster-up: ## Boot a real Kubernetes on this machine (NODES=2 for two nodes); one that is up is left as it is
	@$(LAB) up

.PHONY: cluster-down
cluster-down: ## Take it away again, without a trace
	@$(LAB) down

.PHONY: cluster-status
cluster-status: ## Say what is running
	@$(LAB) status

.PHONY: images
images: ## Build both images and load them into the cluster
	@$(LAB) images
