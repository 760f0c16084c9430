"""Send an alert by e-mail."""

import asyncio
import logging
import socket
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from proxy.config.alerts import AlertDestination
from proxy.core.inner_address import host_problem, is_inner
from proxy.policy.alerts.retry_schedule import SendResult
from proxy.storage.alerts import StoredDelivery

log = logging.getLogger("tollkeeper.alerts")

_PERMANENT = range(500, 600)  # replies after which the same mail is refused again (RFC 5321, 4.2.1)


async def send_mail(destination: AlertDestination, delivery: StoredDelivery) -> SendResult:
    """Send once; never raises for what the server or the network does."""
    import aiosmtplib  # noqa: PLC0415 - only where mail is sent

    assert destination.host is not None
    if not destination.allow_private and host_problem(destination.host) is not None:
        return SendResult(f"{destination.host} is an inner address; allow_private is not set", is_final=True)
    sock = None
    try:
        async with asyncio.timeout(float(destination.timeout_s)):
            sock = await _connect(destination.host, destination.port, allow_private=destination.allow_private)
            client = aiosmtplib.SMTP(
                hostname=destination.host,
                sock=sock,
                use_tls=destination.tls == "tls",
                start_tls=destination.tls == "starttls",
                username=destination.username,
                password=None if destination.password is None else destination.password.reveal(),
                local_hostname=socket.gethostname() or "localhost",
                timeout=float(destination.timeout_s),
            )
            async with client:
                sock = None  # the client closes it
                refused, _ = await client.send_message(mail_of(destination, delivery))
    except aiosmtplib.SMTPResponseException as error:
        text = f"the mail server answered {error.code}: {_printable(str(error.message))}"
        return SendResult(text, error.code, is_final=error.code in _PERMANENT)
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [one.code for one in error.recipients]
        return SendResult("the mail server takes none of the recipients", max(codes), is_final=min(codes) >= 500)
    except TimeoutError:
        return SendResult(f"no answer within {destination.timeout_s:g} s")
    except (aiosmtplib.SMTPException, OSError) as error:
        return SendResult(f"no mail could be sent: {_printable(str(error))}")
    finally:
        if sock is not None:
            sock.close()
    if refused:  # the others have it, and must not get it again
        log.warning("alert.recipients_refused", extra={"destination": delivery.destination, "count": len(refused)})
    return SendResult(status=250)


def mail_of(destination: AlertDestination, delivery: StoredDelivery) -> EmailMessage:
    """Return the mail; its Message-ID is the same over all attempts."""
    assert destination.sender is not None
    message = delivery.message
    mail = EmailMessage()
    mail["From"] = destination.sender
    mail["To"] = ", ".join(destination.recipients)
    mail["Subject"] = _printable(f"[tollkeeper] {message.title}")
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at_ms / 1000, UTC))
    domain = destination.sender.rpartition("@")[2]
    mail["Message-ID"] = f"<{delivery.alert_id}.{delivery.destination}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{message.text}\n")
    return mail


async def _connect(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """Return a connected socket to the first address that answers; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not allow_private and any(is_inner(str(place[0])) for *_, place in found):
        raise OSError(f"{host} leads to an inner address; allow_private is not set")
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, place)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise problem


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:200]
