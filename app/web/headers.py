"""Headers of every answer: a browser loads nothing from another host, and no other site may frame the page."""

from fastapi import Request

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # onnxruntime-web compiles WebAssembly
        "style-src 'self'",
        "img-src 'self' data: blob:",  # glyphs are data URLs, previews of uploads are blobs
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
CACHE_CONTROL = b"cache-control"
NO_STORE = (CACHE_CONTROL, b"no-store")  # of every answer that does not say otherwise: it tells of somebody's picture
RAW_HEADERS = tuple((name.lower().encode("ascii"), value.encode("ascii")) for name, value in HEADERS.items())


def is_known(request: Request, tag: str) -> bool:
    """Whether If-None-Match names an entity tag, given without its quotes, weakly or not (RFC 9110, 13.1.2)."""
    tags = request.headers.get("if-none-match", "").split(",")
    return any(known.strip().removeprefix("W/") in (f'"{tag}"', "*") for known in tags)
