# Every target works on a fresh clone: what is missing is installed first (npm packages; Debian packages where root).
REPORTER ?=
TESTS ?=
SECONDS ?= 180
SEED ?= 1
COPIES ?= 100
STATES ?= 20000
PHASES ?= cuts,filesystems,faults,race,kills,databases
ROUNDS ?= 100
DIRECTORY ?= build/images/built

all: build/.done

check: build/.done
	npx biome ci
	npx ava build/test/architecture.test.js

test: build/.done .tools
	npx biome ci
	npx ava $(REPORTER) $(TESTS)

demo: build/.done .tools
	images/demo.sh

fuzz: build/.done .tools
	node --enable-source-maps build/test/ext/fuzz/main.js $(SECONDS) $(SEED)

unfrozen: build/.done .tools
	COPIES=$(COPIES) SEED=$(SEED) npx ava --timeout=60m build/test/acceptance/unfrozen-copies.test.js

torture: build/.done .tools
	node --enable-source-maps build/test/torture/main.js $(PHASES) $(SEED) $(STATES) $(ROUNDS) $(SECONDS)

images: build/.done .tools
	node build/images/main.js $(DIRECTORY)

# QUICK=1: small sizes. REPETITIONS=5, ONLY='regex of state: work', OUTPUT=build/bench. Needs root.
bench: build/.done .tools
	node --enable-source-maps build/test/bench/main.js

# How long opening 10 million preserved chunks takes; what a read in the oldest of 512 copies costs; how long a copy holds writes; what a slow flush costs.
bench-open: build/.done
	node --enable-source-maps build/test/bench/open-main.js

bench-lookup: build/.done
	node --enable-source-maps build/test/bench/lookup-main.js

bench-hold: build/.done
	node --enable-source-maps build/test/bench/hold-time.js
	node --enable-source-maps build/test/bench/group-commit.js

# How often, and for how long, V8 collects garbage in each thread while a copy is read.
bench-garbage: build/.done .tools
	node --enable-source-maps build/test/bench/garbage-main.js

bench-storage: build/.done .tools
	node --enable-source-maps build/test/bench/storage-main.js

bench-scale: build/.done .tools
	node --enable-source-maps build/test/bench/scale-main.js

clean:
	rm -rf build node_modules/.tools

SOURCES := $(shell find src cli test images -name '*.ts')

build/.done: node_modules/.package-lock.json $(SOURCES) tsconfig.json
	rm -rf build
	npx tsc -p tsconfig.json
	chmod +x build/cli/main.js build/cli/mount-helper.js
	touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund
	touch $@

.tools: node_modules/.tools

node_modules/.tools: images/install-tools.sh
	images/install-tools.sh
	touch $@

.PHONY: all check test demo bench-open bench-lookup bench-hold bench-garbage fuzz unfrozen torture images bench bench-storage bench-scale clean .tools
