#!/usr/bin/env bash
# Installs, from Debian's packages, the tools that some tests drive steer with. Tests that miss one are skipped and
# say so; nothing here is needed to run steer.
set -euo pipefail

PATH=$PATH:/usr/sbin # where nameservers are
declare -A package_of=(
    [dig]=bind9-dnsutils [delv]=bind9-dnsutils [dnssec-verify]=bind9-utils [kdig]=knot-dnsutils [dnsperf]=dnsperf
    [chromium]=chromium [ldns-verify-zone]=ldnsutils [named]=bind9 [knotd]=knot [keymgr]=knot [nsd]=nsd
)
missing_tools=() missing_packages=()
for tool in "${!package_of[@]}"; do
    command -v "$tool" >/dev/null && continue
    missing_tools+=("$tool")
    missing_packages+=("${package_of[$tool]}")
done
[ ${#missing_tools[@]} -gt 0 ] || exit 0

refuse() {
    echo "test tools: missing ${missing_tools[*]}; the tests that need them are skipped ($1)." >&2
    echo "test tools: to have them, as root: apt-get install ${missing_packages[*]}" >&2
    exit 0
}
[ "$(id -u)" = 0 ] || refuse "not root"
command -v apt-get >/dev/null || refuse "no apt-get"

# invoke-rc.d asks policy-rc.d whether a package may start its daemon: 101 means no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "test tools: installing ${missing_packages[*]}"
install_packages() {
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing_packages[@]}" \
        </dev/null >/dev/null
}
install_packages 2>/dev/null || { apt-get update -qq </dev/null && install_packages; } || refuse "apt-get failed"
