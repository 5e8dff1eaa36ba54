"""A small outside world: two network namespaces with one wire between them, and a server at its far end.

Its addresses are ones that the proxy takes for public, but the wire leads nowhere else: what leaks is counted by the
recorder at the far end, and never sent. The installation runs in the near namespace, in a mount namespace of its own in
which /etc/hosts knows the names and the trust store knows the server's authority.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.e2e.installation import Installation

NEAR, FAR = "11.0.0.1", "11.0.0.2"
NAMES = ("allowed.example", "other.example", "api.example", "cdn.example")
SERVER = Path(__file__).with_name("outside_server.py")


@dataclass(frozen=True, slots=True)
class Outside:
    near: int
    """A process in the namespaces of the installation."""
    record: Path

    def seen(self) -> list[dict[str, Any]]:
        """Every connection that reached the far end, and what came in by it."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return [json.loads(line) for line in lines]

    def forget(self) -> None:
        self.record.write_text("")


@dataclass
class InstallationInside(Installation):
    """One whose every process lives in the near namespaces."""

    near: int = 0

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        inside = ["nsenter", "--target", str(self.near), "--net", "--mount", "--"]
        program = Path(sys.executable).with_name("bawn")
        return subprocess.Popen([*inside, str(program), *words], env=self.environment, cwd=self.place, **options)


@contextlib.contextmanager
def outside(place: Path) -> Iterator[Outside]:
    with contextlib.ExitStack() as ending:
        near, far = (_namespace(ending, *extra) for extra in (("--mount", "--propagation", "private"), ()))
        _run("ip", "link", "add", "near", "netns", str(near), "type", "veth", "peer", "name", "far", "netns", str(far))
        for pid, device, address in ((near, "near", NEAR), (far, "far", FAR)):
            for words in (("link", "set", "lo", "up"), ("addr", "add", f"{address}/24", "dev", device),
                          ("link", "set", device, "up")):  # fmt: skip
                _run("nsenter", "--target", str(pid), "--net", "--", "ip", *words)
        _certificates(place)
        hosts = place / "hosts"
        # Also with the last dot, by which the proxy asks, so that no search domain makes another name of one.
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{FAR} {name} {name}.\n" for name in NAMES))
        hosts.chmod(0o644)  # the proxy is another user
        trusted = "/etc/ssl/certs"
        line = " && ".join(
            (
                f"mount --bind {hosts} /etc/hosts",
                f"mount -t tmpfs -o mode=755 none {trusted}",
                f"cp {place}/ca.pem {trusted}/ca-certificates.crt",
                f"cp {place}/ca.pem {trusted}/$(openssl x509 -hash -noout -in {place}/ca.pem).0",
                f"chmod a+r {trusted}/*",
            )
        )
        _run("nsenter", "--target", str(near), "--mount", "--", "sh", "-c", line)
        record = place / "outside.jsonl"
        argv = ["nsenter", "--target", str(far), "--net", "--", sys.executable, str(SERVER), str(place), str(record)]
        server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        ending.callback(_end, server)
        assert server.stdout is not None
        assert server.stdout.readline().strip() == "ready"
        yield Outside(near, record)


def _namespace(ending: contextlib.ExitStack, *further: str) -> int:
    holder = subprocess.Popen(["unshare", "--net", *further, "sleep", "3600"])
    ending.callback(_end, holder)
    own = Path("/proc/self/ns/net").readlink()
    until = time.monotonic() + 10
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == own or b"sleep" not in Path(
        f"/proc/{holder.pid}/cmdline"
    ).read_bytes().split(b"\0"):
        assert time.monotonic() < until
        time.sleep(0.01)
    return holder.pid


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def lacking() -> str:
    """Why no such world can be made here; empty when one can."""
    for program in ("ip", "unshare", "nsenter", "openssl"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def _certificates(place: Path) -> None:
    """An authority that only the near namespace trusts, and one certificate for all names."""
    now = dt.datetime.now(dt.UTC)
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the outside of the tests")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    span = (now - dt.timedelta(hours=1), now + dt.timedelta(days=1))
    ca = (
        x509.CertificateBuilder(authority, authority, authority_key.public_key(), x509.random_serial_number(), *span)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName(name) for name in NAMES]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    server = (
        x509.CertificateBuilder(authority, subject, server_key.public_key(), x509.random_serial_number(), *span)
        .add_extension(x509.SubjectAlternativeName([*names, x509.IPAddress(ipaddress.ip_address(FAR))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    (place / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (place / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM) + key)
