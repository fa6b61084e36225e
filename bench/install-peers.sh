#!/bin/sh
# Install the peers and dnsperf from Debian's packages, without starting any of their daemons.
# Needs root (or sudo). The bench starts each daemon itself, on loopback and a high port.
set -eu

packages="dnsperf gdnsd knot knot-module-geoip pdns-server pdns-backend-geoip gcc"
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

# invoke-rc.d asks policy-rc.d whether a package may start its daemon: 101 means no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

$as_root apt-get update -q
# shellcheck disable=SC2086  # one word per package
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
