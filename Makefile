# Every target does its own set-up. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := target/release
RUNS := runs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what this machine lacks (Debian packages; elsewhere says what is needed)
	@scripts/setup cc=build-essential tmux=tmux curl=curl \
	  redis-server=redis-server redis-sentinel=redis-sentinel redis-cli=redis-tools nginx=nginx-light haproxy=haproxy ip=iproute2 \
	  /usr/lib/nginx/modules/ngx_nchan_module.so=libnginx-mod-nchan

build: setup ## build the three programs, optimised
	cargo build --release --locked

demo: build ## kill a node in the middle of a load and prove that nothing was lost
	$(BIN)/sse-bench run scenarios/quickstart.toml --out $(RUNS)/demo
	@echo; echo "The report: $(RUNS)/demo (report.txt, report.json, the node's log)"

demo-cluster: build ## three nodes behind nginx on one Redis, each killed in turn, and nothing lost
	@scripts/setup redis-server=redis-server nginx=nginx-light setpriv=util-linux
	$(BIN)/sse-bench run scenarios/demo-cluster.toml --out $(RUNS)/demo-cluster
	@echo; echo "The report: $(RUNS)/demo-cluster (report.txt, report.json, the logs of nodes, Redis and nginx)"

test: setup ## run all tests
	cargo test --locked

lint: ## formatting, and clippy with warnings denied
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings

house: ## count rooms, imports, circles, lines and stub comments; SSE_LAB_HOUSE_ROOT=DIR counts another checkout
	cargo test --locked --test it house_in_numbers -- --nocapture

# Those in scenarios/ itself. Not scenarios/host/unplugged.toml, which needs root (a test runs it where that is allowed).
scenarios: build ## run every scenario; the worst exit code wins
	$(BIN)/sse-bench run scenarios/*.toml --out $(RUNS)/scenarios

# Those that say something in eight seconds with a quarter of the clients, and those that need fourteen. The gate runs the
# others whole.
SHORT := fanout direct scale-out reconnect-storm slow-readers churn noisy-topic drain soak-short basic rolling-restart
LONGER := failover half-open network-latency node-pause offline-mailbox redis-restart

scenarios-short: build ## a short form of most scenarios, in four minutes
	$(BIN)/sse-bench run $(SHORT:%=scenarios/%.toml) --clients-scale 0.25 --duration 8s --out $(RUNS)/scenarios-short
	$(BIN)/sse-bench run $(LONGER:%=scenarios/%.toml) --clients-scale 0.25 --duration 14s --out $(RUNS)/scenarios-short

perf: build ## micro-benchmarks, 10,000 connections on one node, what the bench and the console cost
	@scripts/setup redis-server=redis-server python3=python3
	cargo bench --locked
	scripts/perf
	scripts/perf-swarm
	scripts/perf-tui

mutants: setup ## break the node on purpose, line by line, and see each convicted by a scenario
	cargo test --locked --features mutants --test mutants -- --nocapture

interop: setup ## run other people's clients against a node, also behind nginx and in Chromium
	tests/interop/setup
	cargo build --locked --bin sse-node --bin sse-bench
	node tests/interop/run.mjs target/debug/sse-node $(CURDIR)/target/interop

tui: build ## watch the node on 127.0.0.1:8080
	$(BIN)/sse-tui

ci: setup lint test scenarios-short ## what the gate runs
	$(BIN)/sse-bench run scenarios/quickstart.toml scenarios/demo-cluster.toml scenarios/redis-failover.toml \
	  scenarios/redis-rollback.toml scenarios/partition-redis.toml --out $(RUNS)/ci

clean: ## remove what was built and measured
	cargo clean
	rm -rf $(RUNS)

.PHONY: help setup build demo demo-cluster test lint house scenarios scenarios-short mutants perf interop tui ci clean
