"""
The security headers of every HTTP answer, the site's and the door's.

There is no C{Strict-Transport-Security}: it would hold for all ports and programs of the host.
"""

from __future__ import annotations

#: Sent with every answer: a page may load nothing from other sites, nor be embedded in their
#: pages, and those get neither its window nor its files.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
