"""
TLS with PEM files that can be renewed while the server runs.

L{Certificates} reads the two files at the start, and again on SIGHUP.  Open connections keep the
old certificate; new ones get the new one.  If a renewed file is invalid, the old certificate stays
in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

#: The ALPN name of the protocol inside TLS.
SPOKEN = b"http/1.1"


class BadCertificate(Exception):
    """The files are unusable; the text is a sentence for the operator."""


def read_context(certificate: Path, key: Path) -> SSL.Context:
    """
    Make the context that serves this certificate, with its chain if the file has one.

    @raise BadCertificate: a file cannot be read or is not PEM, or the key is not the
        certificate's.
    """
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as problem:
            raise BadCertificate(f"{path} cannot be read: {problem.strerror}.") from problem
    context = CertificateOptions().getContext()
    # Twisted's own callback ends the handshake if the client offers only unknown protocols.
    context.set_alpn_select_callback(_choose)
    try:
        context.use_certificate_chain_file(str(certificate))
    except SSL.Error as problem:
        raise BadCertificate(f"{certificate} has no certificate in PEM form.") from problem
    # Without this, OpenSSL would ask for a passphrase on the terminal.
    context.set_passwd_cb(_no_passphrase)
    try:
        context.use_privatekey_file(str(key))
        context.check_privatekey()
    except SSL.Error as problem:
        sentence = f"{key} is not the unencrypted private key of {certificate} in PEM form."
        raise BadCertificate(sentence) from problem
    return context


def _choose(connection: SSL.Connection, offers: Sequence[bytes]) -> Any:
    """
    Choose the protocol inside TLS among those that the client offers (ALPN).

    A client that does not offer HTTP is accepted as if it had offered nothing: the door recognises
    its wire format.
    """
    return SPOKEN if SPOKEN in offers else SSL.NO_OVERLAPPING_PROTOCOLS


def _no_passphrase(*_: object) -> bytes:
    return b""


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """
    Makes a server's TLS connections, for Twisted.

    Give it to L{twisted.protocols.tls.TLSMemoryBIOFactory} or C{listenSSL}'s like.
    """

    _log = Logger()

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files; raises L{BadCertificate}."""
        self._context = read_context(certificate, key)

    def reload(self, certificate: Path, key: Path) -> bool:
        """Read these files; returns L{False} after an error, which is logged, without effect."""
        try:
            self._context = read_context(certificate, key)
        except BadCertificate as problem:
            self._log.error("The certificate stays as it was: {problem}", problem=problem)
            return False
        self._log.info("Read the certificate {path} again", path=str(certificate))
        return True

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def certificates_of(certificate: str, key: str, only: bool) -> Certificates | None:
    """
    The certificate of the options, or L{None} without TLS.

    @param certificate: path of the certificate's file, or empty; C{key}: that of its key.
    @param only: whether connections without TLS are refused.
    @raise BadCertificate: one of the files is not given.
    """
    if certificate and key:
        return Certificates(Path(certificate), Path(key))
    if certificate or key or only:
        raise BadCertificate("TLS needs both --tls-cert and --tls-key.")
    return None
