"""Certificates of a server on 127.0.0.1, made when a test needs them: one of an authority, and three that are wrong."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TODAY = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
_key = cache(lambda name: ec.generate_private_key(ec.SECP256R1()))


def _certificate(
    name: str, issuer: str, host: str | None = "127.0.0.1", until: dt.datetime = TODAY + DAY
) -> x509.Certificate:
    subject, by = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in (name, issuer))
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(by).public_key(_key(name).public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(TODAY - 9 * DAY).not_valid_after(until)
    made = made.add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    if host is not None:
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False)
    return made.sign(_key(issuer), hashes.SHA256())


def write(folder: Path) -> Path:
    """Write authority.pem (to be trusted) and the servers' certificates, each with its key."""
    authority = _certificate("authority", "authority", None)
    made = {
        "good": _certificate("good", "authority"),
        "self-signed": _certificate("self-signed", "self-signed"),
        "another host's": _certificate("another host's", "authority", "127.0.0.99"),
        "expired": _certificate("expired", "authority", until=TODAY - DAY),
    }
    trusted = folder / "authority.pem"
    trusted.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    for name, certificate in made.items():
        key = _key(name).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(key + certificate.public_bytes(serialization.Encoding.PEM))
    return trusted


def context(folder: Path, name: str) -> ssl.SSLContext:
    """A server's context that shows this certificate; `load_cert_chain` changes it for what comes after."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / f"{name}.pem")
    return made
