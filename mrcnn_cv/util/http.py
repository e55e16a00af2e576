"""How we talk to a server: http and https only, a few redirects, proxies of the environment, what a failure means."""

from __future__ import annotations

import re
import socket
import ssl
import urllib.error
import urllib.request
from http.client import HTTPMessage, InvalidURL
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from mrcnn_cv.errors import ModelFileError, Remedy, UsageError
from mrcnn_cv.util.redact import redact_url

SCHEMES = ("http", "https")
ELSEWHERE = "try again later, or get it from elsewhere"

_MAX_REDIRECTS = 5


class Temporary(Exception):
    """A failure that may pass. The text is the reason; wait: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def check_url(url: str) -> str:
    """`url`, where it is one that is fetched; UsageError where not."""
    try:
        parts = urlsplit(url)
        good = parts.scheme.lower() in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good and "@" in parts.netloc:
        raise UsageError(f"{_without_password(url)} was given with a user name: fetch it yourself and give the file")
    if not good or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise UsageError(
            f"{redact_url(url)} is not an address to pull from: give an http or https URL, or a file or folder"
        )
    return url


def opener() -> urllib.request.OpenerDirector:
    """Handlers for http and https and no other scheme."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        director.add_handler(handler)
    return director


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A few redirects, to http and https only."""

    max_redirections = _MAX_REDIRECTS
    max_repeats = 2

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        target = urljoin(req.full_url, headers.get("location", ""))
        if urlsplit(target).scheme.lower() not in SCHEMES:
            raise ModelFileError(
                f"{redact_url(req.full_url)} redirects to {redact_url(target)}, which is not followed: {ELSEWHERE}",
                Remedy.ARCHIVE,
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request:
        # Python 3.10 does not know 308, and our requests have nothing that must not go to another host.
        return urllib.request.Request(newurl, headers=req.headers, unverifiable=True)


def problem(url: str, error: Exception, fresh: bool) -> Exception:
    """What to raise for a failure of the network; `fresh`: nothing has arrived so far."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    through = _through_proxy(url)
    if isinstance(reason, socket.gaierror) and fresh:
        return ModelFileError(
            f"{url} cannot be fetched, there is no network or no such host{through} ({reason.strerror}):"
            " check the connection and the proxy settings, or download the archive elsewhere and give the file",
            Remedy.ARCHIVE,
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ModelFileError(
            f"{url} cannot be fetched, its certificate is not trusted{through} ({reason.verify_message}): add the"
            " authority to this machine (SSL_CERT_FILE), or get it from elsewhere",
            Remedy.ARCHIVE,
        )
    if isinstance(reason, (ValueError, InvalidURL)):
        return ModelFileError(
            f"{url} cannot be fetched, it or what it redirects to is no address{through}: {ELSEWHERE}", Remedy.ARCHIVE
        )
    if isinstance(reason, TimeoutError):
        return Temporary(f"the server does not answer{through}")
    if isinstance(reason, ConnectionRefusedError):
        return Temporary(f"the connection was refused{through}")
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return Temporary(f"the connection failed{through} ({text})")


def _through_proxy(url: str) -> str:
    """ " through the proxy ..." where there is one."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme.lower())
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return f" through the proxy {_without_password(proxy)}"


def _without_password(address: str) -> str:
    return re.sub(r"//[^/]*@", "//", address)
