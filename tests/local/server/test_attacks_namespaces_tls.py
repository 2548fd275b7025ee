"""Servers of definitions that are not who they say they are."""

import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from openeo_udf_fusion.errors import UnknownProcess
from openeo_udf_fusion.local.server.namespaces import NamespaceReader
from tests.local.server.definitions import PROCESS, at, offered

DAY = timedelta(days=1)


def self_signed(name: str) -> tuple[bytes, bytes]:
    """A certificate for a host name that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM), key.private_bytes(*form)


@pytest.fixture
def tls_server(tmp_path, monkeypatch):
    """A server that is definitions.example, as far as this machine trusts its certificate."""
    certificate, key = self_signed("definitions.example")
    (tmp_path / "certificate.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with offered({"/udp/add_one.json": (200, None, json.dumps(PROCESS))}, context) as server:
        yield server


def test_the_certificate_is_that_of_the_name_though_the_address_was_given(tls_server):
    for host in ("definitions.example", "other.example"):
        base = f"https://{host}:{tls_server.server_port}/udp/"
        read = NamespaceReader((), [base], resolve=at("127.0.0.1"))
        if host == "definitions.example":
            assert read(f"{base}add_one.json") == PROCESS
        else:
            with pytest.raises(UnknownProcess, match="certificate is not valid for"):
                read(f"{base}add_one.json")


def test_a_certificate_that_nobody_vouches_for_is_refused(tls_server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    base = f"https://definitions.example:{tls_server.server_port}/udp/"
    with pytest.raises(UnknownProcess, match="certificate"):
        NamespaceReader((), [base], resolve=at("127.0.0.1"))(f"{base}add_one.json")
