#!/bin/sh
# Installs the checkers and the mini-Internet's servers from Debian's packages, without starting a daemon. Says
# what it could not install: the checks that need it then count as not run.
set -u

packages="bind9-dnsutils bind9-utils dnsviz knot-dnsutils ldnsutils nsd pdns-recursor unbound zonemaster-cli"
packages="$packages bind9 knot iproute2 util-linux"

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "conformance: cannot install$missing (it takes root and apt-get)" >&2
    exit 0
fi

# invoke-rc.d asks policy-rc.d whether a package may start its daemon: 101 means no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

echo "conformance: installing$missing" >&2
apt-get update -qq </dev/null >&2
for package in $missing; do # one by one: one that is gone takes no other with it
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" \
        </dev/null >/dev/null 2>&1 || echo "conformance: could not install $package" >&2
done
