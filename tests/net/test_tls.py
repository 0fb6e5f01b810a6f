"""Tests for L{gameservers.net.tls}: files, what is wrong with them, and renewal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from gameservers.net.tls import BadCertificate, Certificates


def write_pair(folder: Path, name: str, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """A self-signed certificate of this name and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return paths


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Client:
    """A TLS client in memory."""

    def __init__(self, certificates: Certificates, offers: Sequence[bytes] = ()) -> None:
        """Connect; C{offers} are the protocols that the client offers inside TLS (ALPN)."""
        self.clock = Clock()  # Twisted gathers small writes over a turn
        echoes = Factory.forProtocol(Echo)
        factory = TLSMemoryBIOFactory(certificates, False, echoes, self.clock)
        self.server = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.server.makeConnection(self.transport)
        self.connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.connection.set_connect_state()
        if offers:
            self.connection.set_alpn_protos(offers)
        for _ in range(4):
            try:
                self.connection.do_handshake()
            except SSL.WantReadError:
                self.exchange()

    def exchange(self) -> None:
        try:
            while True:
                self.server.dataReceived(self.connection.bio_read(65536))
        except SSL.WantReadError:
            pass
        self.clock.advance(0)
        data = self.transport.value()
        self.transport.clear()
        if data:
            self.connection.bio_write(data)

    def echo(self, data: bytes) -> bytes:
        self.connection.send(data)
        self.exchange()
        return self.connection.recv(65536)

    @property
    def name(self) -> str:
        """Whom the certificate names."""
        certificate = self.connection.get_peer_certificate()
        assert certificate is not None
        return str(certificate.get_subject().CN)


class CertificateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def bad(self, certificate: Path, key: Path) -> str:
        return str(self.assertRaises(BadCertificate, Certificates, certificate, key))

    def test_served(self) -> None:
        client = Client(Certificates(*write_pair(self.folder, "one")))
        self.assertEqual((client.name, client.echo(b"hello")), ("one", b"hello"))

    def test_protocols(self) -> None:
        """Browsers say what they would speak inside; so may anybody else."""
        certificates = Certificates(*write_pair(self.folder, "one"))
        for offers, chosen in (
            ([b"h2", b"http/1.1"], b"http/1.1"),
            ([b"http/1.1"], b"http/1.1"),
            ([b"h2"], b""),
            ([b"velnet"], b""),
            ([], b""),
        ):
            client = Client(certificates, offers)
            self.assertEqual(client.echo(b"hello"), b"hello", offers)
            self.assertEqual(client.connection.get_alpn_proto_negotiated(), chosen, offers)

    def test_renewed(self) -> None:
        """New connections get the new certificate; those that stand go on with the old one."""
        certificates = Certificates(*write_pair(self.folder, "one"))
        old = Client(certificates)
        write_pair(self.folder, "two")
        self.assertEqual(Client(certificates).name, "one")
        self.assertTrue(certificates.reload(self.folder / "cert.pem", self.folder / "key.pem"))
        self.assertEqual(Client(certificates).name, "two")
        self.assertEqual((old.name, old.echo(b"still here")), ("one", b"still here"))

    def test_renewed_with_rubbish(self) -> None:
        """Then the old one stays, and the log says why."""
        certificate, key = write_pair(self.folder, "one")
        certificates = Certificates(certificate, key)
        certificate.write_bytes(b"rubbish")
        with capturedLogs() as events:
            self.assertFalse(certificates.reload(certificate, key))
        self.assertIn("cert.pem", str(events[0]["problem"]))
        self.assertEqual(Client(certificates).name, "one")

    def test_missing(self) -> None:
        certificate, key = write_pair(self.folder, "one")
        self.assertIn("No such file", self.bad(certificate, self.folder / "none.pem"))
        self.assertIn("none.pem", self.bad(self.folder / "none.pem", key))

    def test_unreadable(self) -> None:
        certificate, _ = write_pair(self.folder, "one")
        self.assertIn("cannot be read", self.bad(certificate, self.folder))

    def test_no_pem(self) -> None:
        certificate, key = write_pair(self.folder, "one")
        rubbish = self.folder / "rubbish.pem"
        rubbish.write_bytes(b"rubbish")
        self.assertIn("has no certificate", self.bad(rubbish, key))
        self.assertIn("private key of", self.bad(certificate, rubbish))

    def test_key_of_another(self) -> None:
        certificate, _ = write_pair(self.folder, "one")
        other = self.folder / "other"
        other.mkdir()
        _, other_key = write_pair(other, "two")
        self.assertIn("private key of", self.bad(certificate, other_key))

    def test_passphrase(self) -> None:
        """A key behind a passphrase is refused; nobody is asked on a terminal."""
        self.assertIn("unencrypted", self.bad(*write_pair(self.folder, "one", b"hidden")))
