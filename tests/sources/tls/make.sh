#!/bin/sh
# Make the test certificates: `good` is for 127.0.0.1, `other` for another name; both are their own CA.
set -eu
cd "$(dirname "$0")"
make() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -sha256 \
        -subj "/CN=$2" -addext "subjectAltName=$3" -keyout "$1.key" -out "$1.pem"
}
make good 127.0.0.1 IP:127.0.0.1
make other elsewhere.example DNS:elsewhere.example
