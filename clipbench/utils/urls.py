"""URLs: telling them from paths, and showing them without secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters: C:// is a drive
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"]+")


def is_url(location: str) -> bool:
    """Whether a location is a URL of something that is not a local file.

    Examples:
        >>> is_url("s3://bucket/a.tar"), is_url("file:///a.tar"), is_url("C:/a.tar"), is_url("hub:owner/name")
        (True, False, False, False)
    """
    return bool(_URL.match(location)) and not location.lower().startswith("file://")


def without_secrets(text: str) -> str:
    """A text whose URLs have no user, password, query or fragment, which may hold keys and signatures.

    Examples:
        >>> without_secrets("cannot read https://me:key@host/a.tar?X-Signature=1f")
        'cannot read https://host/a.tar'
    """
    return _IN_TEXT.sub(lambda found: _bare(found[0]), text)


def _bare(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # a broken IPv6 address
        return url.partition("?")[0]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
