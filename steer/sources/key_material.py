"""Private keys as 32 octets, and the public keys that belong to them. All use of chance for keys is here."""

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from steer.model.dnssec import ALGORITHM_ECDSAP256SHA256, PRIVATE_KEY_BYTES

_COORDINATE_BYTES = 32


def new_private(algorithm: int) -> bytes:
    """A new private key of algorithm 13 or 15, from the system's source of randomness."""
    if algorithm == ALGORITHM_ECDSAP256SHA256:
        scalar = generate_private_key(SECP256R1()).private_numbers().private_value
        return scalar.to_bytes(PRIVATE_KEY_BYTES, "big")
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_of(algorithm: int, private: bytes) -> bytes:
    """The public key as DNSKEY holds it: x and y (RFC 6605 section 4), or 32 octets (RFC 8080 section 3).

    Raises ValueError where `private` is no key of algorithm 13 or 15."""
    if algorithm == ALGORITHM_ECDSAP256SHA256:
        point = derive_private_key(int.from_bytes(private, "big"), SECP256R1()).public_key().public_numbers()
        return point.x.to_bytes(_COORDINATE_BYTES, "big") + point.y.to_bytes(_COORDINATE_BYTES, "big")
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
