"""Each way out, against a real receiver: what arrives, and what is never reached."""

import base64
import hashlib
import hmac
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.config.alerts import AlertDestination
from proxy.core.webhook_secret import read_secret
from proxy.jobs.alerts.command import run_command
from proxy.jobs.alerts.mail import send_mail
from proxy.jobs.alerts.webhook import WebhookSender
from proxy.policy.alerts.alert_message import AlertMessage, message_json
from proxy.policy.alerts.retry_schedule import SendResult
from proxy.storage.alerts import StoredDelivery
from tests.alerts.mail_server import mail_server
from tests.alerts.receiver import BROKEN, BUSY, GONE, HANG, SLOW, receiver
from tests.providers.authority import Authority
from tests.support.leaks import nothing_leaks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = AlertMessage("fired", "budget", "limit_share", "user:anna cost day", 1_795_000_000_000, "it is spent", "$5")
DELIVERY = StoredDelivery(7, "alert_00000003", MESSAGE, "hook", "waiting", 0, 0, 0, None, None, None)


def destination(**fields: Any) -> AlertDestination:
    found: AlertDestination = AlertDestination.read({"timeout_s": 5, **fields})
    return found


class Names(AbstractResolver):
    """Answers a name with one address after the other, as one that rebinds does."""

    addresses: tuple[str, ...] = ()
    asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        address = self.addresses[min(type(self).asked, len(self.addresses) - 1)]
        type(self).asked += 1
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Close nothing."""


def names(*addresses: str) -> type[AbstractResolver]:
    """Return a resolver that knows every name by these addresses, in turn."""
    return type("Rebinding", (Names,), {"addresses": addresses, "asked": 0})


async def test_a_webhook_is_signed_over_what_arrives_and_keeps_its_id() -> None:
    async with nothing_leaks(), receiver(BROKEN, BUSY) as at:
        hook = destination(kind="webhook", url=at.url, secret=SECRET, allow_private=True)
        results = [await WebhookSender().send(hook, DELIVERY) for _ in range(2)]
    assert results[0] == SendResult("the receiver answered 500: no_text", 500)
    assert results[1].retry_after_s == 7
    for got in at.received:
        assert got.headers["webhook-id"] == "alert_00000003"
        signed = f"alert_00000003.{got.headers['webhook-timestamp']}.".encode() + got.body
        digest = hmac.new(read_secret(SECRET), signed, hashlib.sha256).digest()
        assert got.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert got.json == message_json(MESSAGE)


@pytest.mark.parametrize(("kind", "field"), [("slack", "text"), ("mattermost", "text"), ("discord", "content")])
async def test_chats_get_a_text_and_no_signature(kind: str, field: str) -> None:
    async with receiver() as at:
        assert await WebhookSender().send(destination(kind=kind, url=at.url, allow_private=True), DELIVERY) == (
            SendResult(status=200)
        )
    (got,) = at.received
    assert got.json[field] == "ALERT budget: it is spent\n$5"
    assert "webhook-signature" not in got.headers


async def test_what_a_receiver_does_wrong_is_a_result() -> None:
    async with nothing_leaks(), receiver() as inner:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {inner.url}\r\nContent-Length: 0\r\n\r\n".encode()
        async with receiver(GONE, redirect, HANG, SLOW, b"nonsense\r\n\r\n") as at:
            hook = destination(kind="webhook", url=at.url, allow_private=True, timeout_s=0.3)
            results = [await WebhookSender().send(hook, DELIVERY) for _ in range(5)]
    assert results[0].is_gone
    assert results[1].problem == "the receiver redirects, which is not followed"
    assert not inner.received
    assert results[2].problem == "no answer within 0.3 s"
    assert results[3].problem == "the receiver answered 500: x", "its body is not waited for"
    assert results[4].problem is not None
    assert results[4].problem.startswith("the connection broke")
    assert all(at.url not in str(result) for result in results)


async def test_nothing_inner_is_reached_by_a_name_that_rebinds() -> None:
    """The address is checked when it is connected to: what it was before, or is afterwards, does not count."""
    async with nothing_leaks(), receiver() as at:
        hook = destination(kind="webhook", url=f"https://hook.example.com:{at.port}/")
        for addresses in (("127.0.0.1",), ("169.254.169.254",), ("10.0.0.1", "127.0.0.1")):
            result = await WebhookSender(names(*addresses)).send(hook, DELIVERY)
            assert result.is_final
            assert "hook.example.com leads to an inner address" in str(result.problem)
        assert at.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0177.0.0.1", "2130706433", "localhost"])
async def test_literals_are_refused_when_written_and_when_sent(host: str) -> None:
    async with receiver() as at:
        with pytest.raises(ValueError, match="leads to an address of this machine"):
            destination(kind="webhook", url=f"https://{host}:{at.port}/")
        hook = destination(kind="webhook", url=f"https://{host}:{at.port}/", allow_private=True)
        result = await WebhookSender().send(hook.replaced({"allow_private": False}), DELIVERY)
        assert result.is_final
        assert at.connections == 0


async def test_the_last_gate_is_the_socket_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where every check before it is gone, no socket is opened to an inner address."""
    monkeypatch.setattr("proxy.jobs.alerts.webhook.host_problem", lambda _: None)
    async with receiver() as at:
        hook = destination(kind="webhook", url=f"https://127.0.0.1:{at.port}/", allow_private=True)
        result = await WebhookSender().send(hook.replaced({"allow_private": False}), DELIVERY)
        assert result == SendResult("127.0.0.1 is an inner address; allow_private is not set", is_final=True)
        assert at.connections == 0


async def test_the_environment_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as proxy, receiver() as at:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        hook = destination(kind="webhook", url=at.url, allow_private=True)
        assert (await WebhookSender().send(hook, DELIVERY)).problem is None
        assert len(at.received) == 1
        assert not proxy.received


def mail(port: int, **more: Any) -> AlertDestination:
    fields = {"host": "127.0.0.1", "port": port, "tls": "none", "allow_private": True, "sender": "tk@example.com"}
    return destination(kind="email", recipients=["ops@example.com", "on-call@example.com"], **{**fields, **more})


async def test_a_mail_arrives_whole_and_keeps_its_id() -> None:
    async with nothing_leaks(), mail_server() as server:
        for _ in range(2):
            result = await send_mail(mail(server.port, username="tk", password="secret"), DELIVERY)
            assert result == SendResult(status=250)
    assert server.logins == 2
    first, second = server.mails
    assert "Subject: [tollkeeper] ALERT budget: it is spent" in first
    assert "To: ops@example.com, on-call@example.com" in first
    assert "Message-ID: <alert_00000003.hook@example.com>" in first
    assert "Message-ID: <alert_00000003.hook@example.com>" in second
    assert "ALERT budget: it is spent\r\n$5" in first


async def test_mail_is_encrypted_and_the_server_is_who_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "authority.pem").write_text(authority.pem())
    context = authority.server("127.0.0.1")
    for tls in ("starttls", "tls"):
        async with nothing_leaks(), mail_server(context, is_tls=tls == "tls") as server:
            encrypted = mail(server.port, tls=tls, username="tk", password="secret")
            result = await send_mail(encrypted, DELIVERY)
            assert result.problem is not None, "nobody knows this authority"
            assert server.logins == 0
            with monkeypatch.context() as patched:
                patched.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
                assert await send_mail(encrypted, DELIVERY) == SendResult(status=250)
            assert (server.logins, len(server.mails)) == (1, 1)


async def test_what_a_mail_server_refuses_is_a_result() -> None:
    async with nothing_leaks():
        async with mail_server(RCPT="550 unknown") as server:
            result = await send_mail(mail(server.port), DELIVERY)
            assert result.is_final
            assert not server.mails
        async with mail_server(MAIL="451 later") as server:
            result = await send_mail(mail(server.port), DELIVERY)
            assert not result.is_final
            assert result.problem == "the mail server answered 451: later"
        async with mail_server(AUTH="535 no") as server:
            assert (await send_mail(mail(server.port, username="tk", password="no"), DELIVERY)).is_final
        async with mail_server() as server:  # it offers no STARTTLS, so the password is never sent
            result = await send_mail(mail(server.port, tls="starttls", username="tk", password="x"), DELIVERY)
            assert result.problem is not None
            assert server.logins == 0
        result = await send_mail(mail(server.port), DELIVERY)  # nobody listens there any more
        assert result.problem is not None


async def test_no_mail_goes_to_an_inner_server_unless_that_is_meant() -> None:
    async with mail_server() as server:
        inner = mail(server.port).replaced({"allow_private": False})
        assert (await send_mail(inner, DELIVERY)).is_final
        assert not server.mails


def program(folder: Path, text: str) -> AlertDestination:
    path = folder / "program.py"
    path.write_text(text)
    return destination(kind="command", argv=[sys.executable, str(path)], timeout_s=5)


async def test_a_command_gets_the_alert_and_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "canary")
    code = (
        "import sys, os, json; told = json.load(sys.stdin);"
        f"open({str(tmp_path / 'out')!r}, 'w').write(told['id'] + ' ' + told['data']['rule'] + str(sorted(os.environ)))"
    )
    async with nothing_leaks():
        assert await run_command(program(tmp_path, code), DELIVERY) == SendResult(status=0)
    said = (tmp_path / "out").read_text()
    assert said.startswith("alert_00000003 budget")
    assert "OPENROUTER_API_KEY" not in said


async def test_a_command_that_fails_hangs_or_floods_is_a_result(tmp_path: Path) -> None:
    async with nothing_leaks():
        result = await run_command(program(tmp_path, "import sys; sys.exit('no pager')"), DELIVERY)
        assert result.problem == f"{sys.executable} ended with 1: no pager"
        hanging = program(tmp_path, "import time; time.sleep(600)").replaced({"timeout_s": 0.5})
        assert "was ended" in str((await run_command(hanging, DELIVERY)).problem)
        flood = program(tmp_path, "import sys; sys.stderr.write('x' * 10_000_000); sys.exit(3)")
        result = await run_command(flood, DELIVERY)
        assert result.status == 3
        assert len(str(result.problem)) < 600
        missing = destination(kind="command", argv=["/no/such/program"])
        assert "cannot be started" in str((await run_command(missing, DELIVERY)).problem)
