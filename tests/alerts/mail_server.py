"""A mail server on a real socket (RFC 5321), as much of one as a client of ours needs."""

import asyncio
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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 here")
        try:
            while line := (await reader.readline()).decode().strip():
                word = line.split()[0].upper()
                if word in self.replies:
                    say(self.replies[word])
                elif word == "EHLO":
                    say("250-here")
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
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def mail_server(**replies: str) -> AsyncIterator[MailServer]:
    """Run a mail server; replies by command, such as RCPT="550 no"."""
    found = MailServer(replies=replies)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()
