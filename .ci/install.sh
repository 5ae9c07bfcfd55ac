# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by quickstart and check: sees that the Debian packages listed in .ci/packages are there.

# packages_for build|check|long: the names, one a line.
packages_for() {
    local name purpose
    while read -r name purpose; do
        case "$name" in '' | '#'*) continue ;; esac
        case "$1:$purpose" in
        build:build | check:build | check:check | long:*) echo "$name" ;;
        esac
    done <"$TOP/.ci/packages"
}

# packages_missing build|check|long: those that are not installed.
packages_missing() {
    local name
    for name in $(packages_for "$1"); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

# packages_install build|check|long: by apt as root; else says what to type, and returns 1.
packages_install() {
    local missing log
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here: install what .ci/packages lists by hand, then build with meson" >&2
        return 1
    fi
    mapfile -t missing < <(packages_missing "$1")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "missing packages; install them as root, then try again:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]} …"
    log=$(mktemp)
    # one of the machine's sources may be out of reach without any of this missing from the others
    if ! { apt-get -q -o Acquire::Retries=3 update || true
        DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
            install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "apt-get could not install ${missing[*]}" >&2
        return 1
    fi
    rm -f "$log"
}
