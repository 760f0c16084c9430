"""A mail server on a real socket (RFC 5321), as much of one as a client of ours needs."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class MailServer:
    """replies: by command in place of the usual ones. mails: what was taken in."""

    port: int = 0
    replies: dict[str, str] = field(default_factory=dict)
    mails: list[str] = field(default_factory=list)
    logins: int = 0
    context: ssl.SSLContext | None = None  # offers STARTTLS

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 here")
        try:
            while line := (await reader.readline()).decode().strip():
                word = line.split()[0].upper()
                if word in self.replies:
                    say(self.replies[word])
                elif word == "STARTTLS":
                    say("220 go on")
                    await writer.drain()
                    await writer.start_tls(self.context)  # type: ignore[arg-type]  # it was offered
                elif word == "EHLO":
                    say("250-here")
                    if self.context is not None and writer.get_extra_info("ssl_object") is None:
                        say("250-STARTTLS")
                    say("250 AUTH PLAIN")
                elif word == "AUTH":
                    self.logins += 1
                    say("235 ok")
                elif word == "DATA":
                    say("354 go on")
                    self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                    say("250 taken")
                elif word == "QUIT":
                    say("221 bye")
                    break
                else:
                    say("250 ok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def mail_server(
    context: ssl.SSLContext | None = None, *, is_tls: bool = False, **replies: str
) -> AsyncIterator[MailServer]:
    """Run a mail server; replies by command, such as RCPT="550 no". is_tls: from the first byte on, else STARTTLS."""
    found = MailServer(replies=replies, context=None if is_tls else context)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, ssl=context if is_tls else None)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()
