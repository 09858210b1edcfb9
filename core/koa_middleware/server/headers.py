"""Headers that each answer carries."""

from __future__ import annotations

#: Pages load a stylesheet, pictures and nothing else, all from here; nobody frames them, and nothing is run.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

#: By name in lower case. There is no word of CORS among them: scripts of other pages get nothing.
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "server": "koa-cal",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

RAW = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
