#!/bin/sh
# Ruff over all Python of the tree, with the rules that stand in pyproject.toml. It is installed from PyPI into build/tools.
# Where that does not work, a `ruff` of the machine's does; where there is none, the check is skipped (77), and fails in CI.
set -u
cd "$(dirname "$0")/.."
version=0.17.6
tools=build/tools
ruff=$tools/bin/ruff

if [ "$("$ruff" --version 2>/dev/null)" != "ruff $version" ]; then
    mkdir -p build
    if ! { python3 -m venv --clear $tools &&
        $tools/bin/python -m pip install -q --disable-pip-version-check --retries 1 --timeout 10 --only-binary :all: \
            ruff==$version; } >build/tools.log 2>&1; then
        tail -3 build/tools.log
        echo "evenloop: Ruff $version cannot be installed into $tools from PyPI"
        ruff=ruff
        if ! command -v ruff; then
            [ "${CI:-}" = true ] && exit 1
            echo "evenloop: skipped: the Python code is not checked without Ruff"
            exit 77
        fi
    fi
fi
exec "$ruff" check --no-cache --output-format concise .
