# The short way in. meson and ninja do the work; this file only knows the names people type.
#
#   make          build/midflight, after installing the packages it needs (Debian 12, root or sudo)
#   make test     everything a change must pass; under 45 minutes on two cores
#   make fuzz     every fuzz target for FUZZ_SECONDS (300 unless given)
#   make docs     refreshes the generated pages
#   make soak     the long runs
#   make demo     a migration of a busy database, judged from outside
#   make demo-mysql-upgrade   the same from MySQL 5.7 to 8.0
#   make demo-cassandra       PostgreSQL into Cassandra
#   make demo-mongodb         documents into MySQL or PostgreSQL
#   make bench    speed, beside others on the same data
#   make NODEPS=1 never touches packages

BUILD ?= build
FUZZ_SECONDS ?= 300
NINJA ?= ninja

.PHONY: all deps test test-deps unit scenarios soak demo demo-mysql-upgrade demo-cassandra demo-mongodb bench lint format fuzz docs clean install

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) midflight

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD)

deps:
ifndef NODEPS
	@scripts/install-deps.sh build
endif

test-deps:
ifndef NODEPS
	@scripts/install-deps.sh all
endif

test: test-deps
	@scripts/test.sh

unit: all
	@$(NINJA) -C $(BUILD) && meson test -C $(BUILD) --no-rebuild --print-errorlogs

scenarios: test-deps all
	@scripts/scenarios.sh $(ARGS)

soak: test-deps all
	@scripts/soak.sh

demo: test-deps all
	@scripts/demo.sh $(ARGS)

demo-mysql-upgrade: test-deps all
	@scripts/demo.sh mysql $(ARGS)

demo-cassandra: test-deps all
	@scripts/demo.sh cassandra $(ARGS)

demo-mongodb: test-deps all
	@scripts/demo.sh mongodb $(ARGS)

bench: all
ifndef NODEPS
	@scripts/install-deps.sh bench
endif
	@bench/run $(ARGS)

lint: test-deps
	@scripts/lint.sh

format:
	@scripts/format.sh

docs: all
	@/usr/bin/python3 scripts/check_docs.py --write

fuzz: test-deps
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-*
