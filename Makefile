# Every target does its own set-up. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BUILT := $(or $(CARGO_TARGET_DIR),target)
BIN := $(BUILT)/release
RUNS := runs

# The node and the bench as the demo and every scenario run them, without the console: see [profile.demo] in Cargo.toml.
DEMO := --profile demo --no-default-features --bin sse-node --bin sse-bench
DEMO_BIN := $(BUILT)/demo
# The crates of the demo, which everybody downloads and builds before the first verdict.
DEMO_CRATES := 240

# Many tests wait for servers and clocks most of the time: with six at once two cores need 4 minutes for those with real
# processes, and 10 with two.
TEST := RUST_TEST_THREADS=$$((3 * $$(nproc))) cargo test --locked

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

compiler:
	@scripts/setup --only-check cc="a C compiler (Debian: build-essential)"

setup: ## install what this machine lacks (Debian packages; elsewhere says what is needed)
	@scripts/setup cc=build-essential tmux=tmux curl=curl \
	  redis-server=redis-server redis-sentinel=redis-sentinel redis-cli=redis-tools nginx=nginx-light haproxy=haproxy ip=iproute2 systemd-analyze=systemd \
	  /usr/lib/nginx/modules/ngx_nchan_module.so=libnginx-mod-nchan

build: compiler ## build the three programs, optimised
	cargo build --release --locked --config profile.release.strip=false
	@scripts/split-debug $(BIN)/sse-node $(BIN)/sse-bench $(BIN)/sse-tui

demo: compiler ## kill a node in the middle of a load and prove that nothing was lost: five minutes from a fresh clone
	@scripts/steps \
	  download "cargo tree --locked --no-default-features --edges no-dev >/dev/null" \
	  build    "cargo build --locked $(DEMO)" \
	  run      "$(DEMO_BIN)/sse-bench run scenarios/quickstart.toml --out $(RUNS)/demo"
	@echo; echo "The report: $(RUNS)/demo (report.txt, report.json, the node's log)"

build-demo: compiler
	cargo build --locked $(DEMO)

demo-crates: ## count the crates of the demo, and fail when there are 3 % more than DEMO_CRATES
	@scripts/count-crates $(DEMO_CRATES) --no-default-features

demo-cluster: build-demo ## three nodes behind nginx on one Redis, each killed in turn, and nothing lost
	@scripts/setup redis-server=redis-server nginx=nginx-light setpriv=util-linux
	$(DEMO_BIN)/sse-bench run scenarios/demo-cluster.toml --out $(RUNS)/demo-cluster
	@echo; echo "The report: $(RUNS)/demo-cluster (report.txt, report.json, the logs of nodes, Redis and nginx)"

test: setup ## run all tests but those of `make full`
	$(TEST) --lib --test it
	$(TEST) --doc

lint: ## formatting, and clippy with warnings denied
	cargo fmt --check
	cargo clippy --all-targets --features counts --locked -- -D warnings

house: ## count rooms, imports, circles, lines and stub comments; SSE_LAB_HOUSE_ROOT=DIR counts another checkout
	cargo test --locked --test it house_in_numbers -- --nocapture

# Those in scenarios/ itself. Not scenarios/host/unplugged.toml, which needs root (a test runs it where that is allowed).
scenarios: setup build-demo ## run every scenario; the worst exit code wins
	$(DEMO_BIN)/sse-bench run scenarios/*.toml --out $(RUNS)/scenarios

# Those that say something in eight seconds with a quarter of the clients, and those that need fourteen. The gate runs the
# others whole.
SHORT := fanout direct scale-out reconnect-storm slow-readers churn noisy-topic drain soak-short basic rolling-restart
LONGER := failover half-open network-latency node-pause offline-mailbox redis-restart

scenarios-short: setup build-demo ## a short form of most scenarios, in four minutes
	$(DEMO_BIN)/sse-bench run $(SHORT:%=scenarios/%.toml) --clients-scale 0.25 --duration 8s --out $(RUNS)/scenarios-short
	$(DEMO_BIN)/sse-bench run $(LONGER:%=scenarios/%.toml) --clients-scale 0.25 --duration 14s --out $(RUNS)/scenarios-short
	$(DEMO_BIN)/sse-bench run scenarios/large/abuse.toml --duration 20s --out $(RUNS)/scenarios-short

abuse: setup build-demo ## hostile clients of every kind: nobody loses an event, and the others wait at most twice as long
	@scripts/setup python3=python3
	scripts/abuse $(DEMO_BIN)/sse-bench $(RUNS)/abuse
	$(DEMO_BIN)/sse-bench run scenarios/large/abuse.toml --out $(RUNS)/abuse/whole

# Not in the gate: a change elsewhere in the crate can move what the compiler puts in line, and with it a count by 18 %.
counts: compiler ## count instructions, and fail when a count has changed by more than 1 %
	@scripts/setup valgrind=valgrind python3=python3
	cargo build --locked $(DEMO) --features counts --bin counts
	scripts/counts $(DEMO_BIN)/counts

counts-accept: compiler ## count instructions, and keep the counts
	@scripts/setup valgrind=valgrind python3=python3
	cargo build --locked $(DEMO) --features counts --bin counts
	scripts/counts --accept $(DEMO_BIN)/counts

perf: build ## what a delivery costs beside nchan, axum and others, in 40 minutes; ONLY="fanout storm" for parts
	@scripts/setup redis-server=redis-server python3=python3 nginx=nginx-light \
	  /usr/lib/nginx/modules/ngx_nchan_module.so=libnginx-mod-nchan
	for crate in load loops axum-sse; do \
	  cargo build --release --locked --manifest-path benches/$$crate/Cargo.toml --target-dir $(BUILT); done
	scripts/perf

mutants: setup ## break what clients get, and lines of the node, and see each convicted by a scenario
	cargo test --locked --test mutants -- --nocapture

# 12 targets, two at a time.
SECONDS_EACH := 600
TARGETS :=

fuzz: ## fuzz every parser for SECONDS_EACH (600), or TARGETS="decoder head"; a finding fails
	@scripts/setup c++=g++
	scripts/fuzz $(BUILT) $(SECONDS_EACH) $(TARGETS)

fuzz-short:
	@scripts/setup c++=g++
	scripts/fuzz $(BUILT) 20

deny: ## check licences, duplicates and sources of all crates by deny.toml
	@scripts/setup python3=python3 pip3=python3-pip
	scripts/deny $(BUILT)

interop: setup ## run other people's clients against a node, also behind nginx and in Chromium
	tests/interop/setup
	cargo build --locked --bin sse-node --bin sse-bench --example axum_events
	node tests/interop/run.mjs $(BUILT)/debug/sse-node $(CURDIR)/target/interop

tui: build ## watch the node on 127.0.0.1:8080
	$(BIN)/sse-tui

full: export SSE_LAB_REQUIRE_ALL := 1
full: ci counts scenarios abuse mutants interop fuzz-short ## all that the gate leaves out: longer tests, whole scenarios, mutants, other people's clients
	$(TEST) --test it -- --ignored

ci: export SSE_LAB_REQUIRE_ALL := 1
ci: setup lint deny demo-crates test demo scenarios-short ## what the gate runs
	$(DEMO_BIN)/sse-bench run scenarios/demo-cluster.toml scenarios/redis-failover.toml \
	  scenarios/redis-rollback.toml scenarios/partition-redis.toml --out $(RUNS)/ci

clean: ## remove what was built and measured
	cargo clean
	rm -rf $(RUNS)

.PHONY: help compiler setup build demo build-demo demo-crates demo-cluster test lint house scenarios scenarios-short abuse mutants counts counts-accept perf fuzz fuzz-short deny interop tui full ci clean
