# The front door; CMake does the work, in build/.

PREFIX ?= /usr/local
CMAKE_FLAGS ?=

build:
	@scripts/deps.sh build
	@cmake -S . -B build -G Ninja -DEVEN_BUILD_TESTS=OFF -DEVEN_BUILD_BENCH=ON --log-level=STATUS $(CMAKE_FLAGS)
	@cmake --build build

# The notes' gather program, explained, then the echo server under a load of its own.
run: build
	@scripts/run.sh

# gcc, both backends and the simulated one, seeds 1 to 200.
test:
	@scripts/deps.sh build test
	@scripts/check.sh test

# The Python package, built from here into build/venv; tested by `make test-python`.
python:
	@scripts/deps.sh build python
	@scripts/python.sh

test-python:
	@scripts/deps.sh build python
	@scripts/check.sh python

# The tests of websockets, tornado, aiohttp and others, on asyncio's loop and on ours: ONLY="PROGRAM ..." for some of them.
test-programs:
	@scripts/deps.sh build python programs
	@scripts/python.sh programs $(ONLY)

# All of it: some 80 minutes.
check:
	@scripts/deps.sh build test check python
	@scripts/check.sh test clang debug asan tsan clang-asan valgrind nth seeds aarch64 \
		python python-asan python-wheel python-nth python-leaks python-all

# The four above on fresh machines: Debian 12 and 13, and sid where its packages install. As root; some 20 minutes, and at once
# where this very tree has passed.
clean-rooms:
	@scripts/clean-room.sh --kept bookworm trixie sid

# Ours and the peers', in turn: ratios of processor time an operation.
bench:
	@scripts/deps.sh build bench
	@$(MAKE) --no-print-directory build
	@cmake --build build --target bench_peers
	@python3 bench/run.py build

# Python's loops, ours and others': ONLY=PATTERN for some of the rows.
bench-python:
	@scripts/deps.sh build python bench
	@$(MAKE) --no-print-directory build python
	@scripts/python.sh peers
	@build/venv/bin/python python/bench/run.py build $(if $(ONLY),--only "$(ONLY)")

install: build
	@cmake --install build --prefix $(abspath $(PREFIX))

# After a deliberate change of the public interface.
symbols: build
	@scripts/exported-symbols.py build/libevenloop.so >scripts/exported-symbols.txt

format:
	@scripts/check-rules.py --format

clean:
	rm -rf build

.PHONY: build run test bench-python python test-python test-programs check clean-rooms bench install symbols format clean
