"""The authority that vouches for hosts whose TLS this process ends itself.

It lives as long as the process, its keys only in its memory, and only containers trust it. Its certificate names the hosts
for which it may speak (name constraints, critical): exactly those that some policy has terminated, no address, nothing
else. When that set grows the certificate is written anew under the same name and key, and has to be told to the
containers again; what was trusted before goes on being trusted, for its own names.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=30)
_LEAF_LIFE = timedelta(days=7)
_RENEW = timedelta(days=1)
_SKEW = timedelta(hours=1)
_NOBODY = "none.invalid"
"""What an authority without hosts may speak for: an empty list would mean everybody (RFC 5280 §4.2.1.10)."""
_CONTEXTS = 1024
"""Hosts whose certificates are kept."""


class Authority:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"Bawn egress authority {os.urandom(4).hex()}")]
        )
        self._names: frozenset[str] = frozenset()
        self._contexts: dict[str, tuple[datetime, ssl.SSLContext]] = {}
        self.pem = self._certificate()

    def speak_for(self, names: Iterable[str]) -> bool:
        """Add hosts; whether that changed the certificate. A name stands for itself and what is below it."""
        wanted = self._names | {name.removeprefix("*.").lstrip(".") for name in names}
        if wanted == self._names:
            return False
        self._names = wanted
        self.pem = self._certificate()
        return True

    def context(self, host: str) -> ssl.SSLContext:
        """What ends the TLS of a container that believes to speak with `host`."""
        now = self._now()
        kept = self._contexts.get(host)
        if kept is not None and kept[0] > now:
            return kept[1]
        if len(self._contexts) >= _CONTEXTS:
            self._contexts.clear()
        context = self._new_context(host)
        self._contexts[host] = (now + _LEAF_LIFE - _RENEW, context)
        return context

    def _new_context(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Each connection stands for itself: no tickets by which another could go on with its session.
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.num_tickets = 0
        key = self._leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # The ssl module reads keys from files alone; this one is memory, and gone when it is closed.
        file = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(file, key + self._leaf(host).public_bytes(serialization.Encoding.PEM))
            context.load_cert_chain(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
        return context

    def _leaf(self, host: str) -> x509.Certificate:
        now = self._now()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(self._leaf_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _LEAF_LIFE)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._leaf_key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _certificate(self) -> str:
        now = self._now()
        permitted = [x509.DNSName(name) for name in sorted(self._names or {_NOBODY})]
        no_address = [x509.IPAddress(IPv4Network("0.0.0.0/0")), x509.IPAddress(IPv6Network("::/0"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + _LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.NameConstraints(permitted, no_address), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
