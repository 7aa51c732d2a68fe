"""What went wrong with a request, by what can be done about it."""

from __future__ import annotations

import os
import re
import ssl
import zlib

import aiohttp

from aifeedback.errors import Away, CriticGone, Hiccup

_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
)


def named(error: BaseException) -> Away | CriticGone | Hiccup:
    """Which of our errors a failed request is.

    Only few of aiohttp's texts are passed on: some hold the URL, or a piece of what was received.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it is not for this host"
        return CriticGone(
            f"the endpoint's certificate can't be trusted: {why}. If it is yours, name the file of its authority in SSL_CERT_FILE."
        )
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        reason = getattr(error, "reason", "") or getattr(getattr(error, "os_error", None), "reason", "") or "no reason"
        if reason in _NO_TLS:
            return CriticGone("no TLS is spoken there. Name it with http:// in --base-url.")
        return Away(f"TLS failed: {reason}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Away(f"the host is unknown: {error.os_error.strerror or error.host}")
    if isinstance(error, aiohttp.ClientHttpProxyError):  # its own text holds the proxy's URL, and that a password
        return Away(f"the proxy refuses: {error.status} {error.message}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Away(f"the proxy does not answer: {_strerror(error.os_error)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Away(f"nobody answers: {_strerror(error.os_error)}")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return Hiccup("the connection was closed without an answer")
    if isinstance(error, ConnectionError | aiohttp.ClientOSError):
        return Hiccup(f"the connection was lost: {_strerror(error)}")
    if isinstance(error, zlib.error):
        return Hiccup("the endpoint's compressed answer is broken")
    if isinstance(error, aiohttp.ClientPayloadError):
        return Hiccup("the answer could not be read: it breaks off")
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    head = re.split(r"[:\n]", said)[0].strip()[:100]
    return Hiccup(f"the answer could not be read: {head or type(error).__name__}")


def _strerror(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
