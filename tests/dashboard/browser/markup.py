"""Texts that would do something in a page that does not write them as text, and texts that break a layout.

Each kind of place that markup can end in has one: text, attributes with each kind of quote and without, addresses,
scripts, styles, comments, templates, foreign elements. MARK stands in each, so that it is found again.
"""

from typing import Final

MARK: Final = "tkpwn"
"""A script that runs sets window.tkpwn; an element that is made is called tk-pwn."""

_RUN: Final = "window.tkpwn=1"
PAYLOADS: Final[tuple[str, ...]] = (
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script><!-- tkpwn",
    f"<img src=x onerror={_RUN}>",
    f'"><img src=x onerror="{_RUN}"><tk-pwn x="',
    f"'><svg/onload='{_RUN}'><tk-pwn>",
    f"<svg><script>{_RUN}</script><title><tk-pwn></title></svg>",
    f"tkpwn onmouseover={_RUN} autofocus onfocus={_RUN} tabindex=0",
    f'" onpointerover="{_RUN}" style="position:fixed;inset:0" tk-pwn="',
    f"javascript:{_RUN}",
    f"jAvA\tscript:{_RUN}//tkpwn",
    f"data:text/html,<script>{_RUN}</script>",
    f"<a href=javascript:{_RUN}>tkpwn</a>",
    "<iframe srcdoc='<script>parent.tkpwn=1</script>'></iframe><tk-pwn>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={_RUN}>",
    f"<template><tk-pwn></template><details open ontoggle={_RUN}>",
    "</title></textarea></select></option></style></noscript><tk-pwn>",
    f"<base href=//127.0.0.1:9/><meta http-equiv=refresh content='0;url=javascript:{_RUN}'>",
    "<form action=//127.0.0.1:9/ id=tkpwn><button form=tkpwn formaction=//127.0.0.1:9/>send",
    "<link rel=stylesheet href=//127.0.0.1:9/tkpwn.css><style>*{display:none}</style>",
    "{{ tkpwn.__class__ }} {% for tkpwn in x %} ${tkpwn} #{tkpwn} <%= tkpwn %>",
    "&lt;tk-pwn&gt; &#60;tk-pwn&#62; &amp;lt;tkpwn%3Cscript%3E",
    f"\\x3cscript\\x3e{_RUN}\\x3c/script\\x3e \\u003ctk-pwn\\u003e",
    "<!--><tk-pwn>--><![CDATA[<tk-pwn>]]>",
    '=cmd|" /C tkpwn"!A1',
    "\u202etkpwn\u202c \u2066left\u2069 \u200f\u200b\ufeff\u00ad",
    "tkpwn\r\n\r\nSet-Cookie: tkpwn=1\r\nX: <tk-pwn>",
    "tkpwn \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u4f60\u597d",
    "tkpwn \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    "tkpwn Z\u0351\u036b\u0343\u036a\u0302" + "\u0300\u0301\u0302\u0303" * 30,
    "tkpwn" + "W" * 10_000,
    "tkpwn " + "word <tk-pwn> " * 700,
)
