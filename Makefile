# Two commands for everybody:  make demo   make test
# The others are for people who work on it:  make lint unit integration machine bench soak fuzz
#                                            make hostile lab-up lab-down clean

SHELL := /bin/bash
BINARY := build/dind-init
LAB := integration/lab/lab
SOURCES := $(shell find src -name '*.rs') build.rs link/without-unwinding.ld Cargo.toml Cargo.lock .cargo/config.toml

.PHONY: build demo test unit integration machine lint bench soak fuzz fuzz-build hostile lab-up lab-down clean

build: $(BINARY)

# The host's target triple is fixed in .cargo/config.toml; cargo knows best what is out of date.
$(BINARY): $(SOURCES)
	@command -v cargo >/dev/null || { echo "cargo is missing: install the Rust toolchain (rustup), 1.88 or newer, and a C compiler"; exit 1; }
	cargo build --release --locked
	@mkdir -p build
	cp target/*/release/dind-init $@.new && mv $@.new $@

lab-up: $(BINARY)
	DIND_LAB_TRIAL_BINARY=$(CURDIR)/$(BINARY) $(LAB) up

lab-down:
	$(LAB) down

# The lab is taken down whether the demo or the tests succeed or not.
# What cannot work here is said before anything is compiled.
demo:
	@$(LAB) check
	@test -x $(BINARY) || echo "compiling the release build: two to five minutes, once"
	@$(MAKE) --no-print-directory $(BINARY)
	integration/with-lab integration/demo/demo $(BINARY)

test: unit integration machine

# What cannot run here is a failure; `make test MUST_RUN=` skips it, and says so. Read by
# tests/kit/skip.rs and integration/skip.sh alone: anything but nothing and 0 is a yes.
export MUST_RUN := 1
# Two targets that take the lab down must not run beside each other.
.NOTPARALLEL:

# Needs no privileges.
unit:
	cargo test --locked --lib --tests

integration: $(BINARY)
	integration/with-lab integration/run $(BINARY)

# The cgroup version 2 suite in a virtual machine: one boot for all of its cases. Emulated, they take
# half an hour; with MACHINE_SECONDS=N no case begins later, and the others are named.
machine: $(BINARY)
	DIND_LAB_MACHINE_SECONDS=$(MACHINE_SECONDS) integration/with-lab integration/lab/machine run $(BINARY)

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets --features integration -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	cargo test --locked --quiet --test architecture

# OFFICIAL=DIR: a directory with dockerd-entrypoint.sh, docker-entrypoint.sh, dind and modprobe.sh
bench: $(BINARY)
	integration/with-lab integration/bench/bench $(BINARY) $(OFFICIAL)

# ROUNDS=N, SEED=N: starts, random work and ends at random moments on the same volumes
soak: $(BINARY)
	integration/with-lab integration/soak/run $(BINARY) $(or $(ROUNDS),100) $(SEED)

# Everything that a neighbour can plant, at every path that a trace shows. Without SECONDS=N nothing
# is left out; ONLY=TEXT runs the cases whose line has it, and shows what they say.
hostile: $(BINARY)
	HOSTILE_SECONDS=$(if $(filter command line,$(origin SECONDS)),$(SECONDS),0) HOSTILE_ONLY='$(ONLY)' \
	    integration/with-lab integration/run $(BINARY) --nocapture sweep::

# SECONDS=N for each target, TARGET=NAME for one, SANITIZER=address with a nightly toolchain. What
# is found stays in fuzz/artifacts; `make unit` replays fuzz/seeds without a fuzzer.
SECONDS := 60
SANITIZER := none
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked"; exit 1; }
	SANITIZER=$(SANITIZER) fuzz/run $(SECONDS) $(TARGET)

# Compiles the targets and runs none.
fuzz-build:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked"; exit 1; }
	SANITIZER=$(SANITIZER) fuzz/run 0

clean:
	rm -rf build target fuzz/target
