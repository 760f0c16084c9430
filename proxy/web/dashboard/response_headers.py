"""What every answer of the dashboard tells the browser."""

from collections.abc import Mapping

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_FEATURES = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb")
_ALWAYS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # no-referrer would make a browser send "Origin: null" with our own forms, which then look like another site's
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
    "X-Frame-Options": "DENY",
}


def security_headers(is_tls: bool) -> dict[str, str]:
    """Return the headers; a browser heeds the opener policy only over TLS, and complains of it elsewhere."""
    return {**_ALWAYS, "Cross-Origin-Opener-Policy": "same-origin"} if is_tls else dict(_ALWAYS)
