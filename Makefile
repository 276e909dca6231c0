# make            lists the targets
.DEFAULT_GOAL := help
SHELL := /bin/sh
JOBS ?= $(shell nproc)
BIN := build/release/bin

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

deps-build:
	@tools/install_deps.sh build
deps-test: deps-build
	@tools/install_deps.sh test
deps-bench: deps-build
	@tools/install_deps.sh bench
deps-model:
	@tools/install_deps.sh model

build: deps-build ## installs what is missing and builds build/release/bin/holdfast and its links
	@cmake --preset release >build-release.log 2>&1 || { cat build-release.log; exit 1; }; rm -f build-release.log
	cmake --build --preset release -j $(JOBS) --target holdfast

everything: build # as build, with all tests and tools
	@cmake --build --preset release -j $(JOBS)

up: build ## starts three masters and three volume servers in the background and shows a failover on them
	@tools/up.sh
down: ## stops what `make up` started
	@tools/down.sh

check: deps-test ## layers, unit tests under address and undefined-behaviour sanitizers, short fuzzing and simulation
	@JOBS=$(JOBS) tools/check.sh

test: deps-test ## installs, builds, passes all tests (T=name runs only matching ones)
	@JOBS=$(JOBS) T='$(T)' tools/test.sh

sim: everything ## runs 1,000 seeds of the simulator (SEED=42 replays one)
	@SEED='$(SEED)' tools/sim.sh

mutants: everything ## takes each rule out of the Raft core in turn; the simulator must notice every time
	@tools/mutants.sh

soak: everything ## the long tests: 200 leader deaths, thread sanitizer, long simulation
	@JOBS=$(JOBS) tools/soak.sh

fuzz: deps-test ## builds and runs every fuzzer (SECONDS_EACH=60)
	@JOBS=$(JOBS) tools/fuzz.sh

model: deps-model ## TLC searches the TLA+ models of leases and of the in-sync register, and every mutant of them
	@model/run.py

trace: deps-model build ## TLC replays runs of the simulator against the model's actions; those of mutants must be refused
	@cmake --build --preset release -j $(JOBS) --target sim
	@model/trace.py

upgrade: build ## moves a cluster of the first release, built from its commit, to the present build while it works
	@JOBS=$(JOBS) tools/upgrade_test.sh

tsan: deps-build ## unit tests under the thread sanitizer
	@JOBS=$(JOBS) tools/tsan.sh

bench: build deps-bench ## prints the benchmarks' figures and ratios (docs/benchmarks.md explains them)
	@bench/run.sh

deb: build ## puts the program, units, manual pages and completion into a Debian package below build/deb
	@tools/deb.sh

clean: ## removes build/
	rm -rf build

.PHONY: help deps-build deps-test deps-bench deps-model build everything up down check test sim mutants soak fuzz model trace upgrade tsan bench deb clean
