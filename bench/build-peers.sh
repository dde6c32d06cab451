#!/bin/sh
# Builds the peers in Go and Rust into BUILD_DIR/bench, each if its toolchain is here: `bench/build-peers.sh BUILD_DIR`.
# A peer that cannot be built is left out; the driver says "not installed".
set -eu
build=${1:?usage: build-peers.sh BUILD_DIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$build/bench"
build=$(cd "$build" && pwd)

if command -v go >/dev/null 2>&1; then
    for name in go_echo go_tasks; do
        (cd "$here/peers" && go build -buildvcs=false -o "$build/bench/peer_$name" "./$name") ||
            echo "bench: $name could not be built" >&2
    done
else
    echo "bench: go is not installed, its rows are left out" >&2
fi

if command -v cargo >/dev/null 2>&1; then
    if CARGO_TARGET_DIR=$build/bench/cargo cargo build --quiet --release --locked \
        --manifest-path "$here/peers/tokio/Cargo.toml"; then
        for name in tokio_echo tokio_tasks; do
            cp "$build/bench/cargo/release/$name" "$build/bench/peer_$name"
        done
    else
        echo "bench: the peers on Tokio could not be built" >&2
    fi
else
    echo "bench: cargo is not installed, the rows of Tokio are left out" >&2
fi
