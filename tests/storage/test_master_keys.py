"""Where the master key is read from and written to: its sources, and files that are not safe."""

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.policy.sealing.master_key import MasterKey, MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing
from proxy.storage import master_keys
from proxy.storage.master_keys import MasterKeys, master_key_sources

A, B = (MasterKey(sha256(name).digest()) for name in (b"A", b"B"))


def keys(folder: Path, **environ: str) -> MasterKeys:
    return MasterKeys(master_key_sources(folder / "ledger.db", None, environ))


def put(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db.master-key"


def test_a_new_one_is_private_whole_and_stands_beside_the_database(tmp_path: Path, file: Path) -> None:
    assert keys(tmp_path).ring() is None
    made = keys(tmp_path).make()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys(tmp_path).ring() == made
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    with pytest.raises(MasterKeyError, match="exists already"):
        keys(tmp_path).make()
    assert keys(tmp_path).ring() == made


def test_the_environment_and_systemd_may_hold_it_instead(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    put(folder / "tollkeeper-master-key", A.as_text(), 0o440)  # the mode is systemd's
    for environ in ({"TOLLKEEPER_MASTER_KEY": A.as_text()}, {"CREDENTIALS_DIRECTORY": str(folder)}):
        found = keys(tmp_path, **environ)
        assert found.ring() == MasterRing(A)
        with pytest.raises(MasterKeyError, match="cannot write"):
            found.replace(MasterRing(B))
    put(file, A.as_text())
    assert keys(tmp_path, TOLLKEEPER_MASTER_KEY=A.as_text(), CREDENTIALS_DIRECTORY=str(folder)).ring() == MasterRing(A)


def test_sources_that_differ_are_refused(tmp_path: Path, file: Path) -> None:
    put(file, A.as_text())
    with pytest.raises(MasterKeyError, match=f"holds master key {A.id}.*another one, {B.id}"):
        keys(tmp_path, TOLLKEEPER_MASTER_KEY=B.as_text()).ring()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o622])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, file: Path, mode: int) -> None:
    put(file, A.as_text(), mode)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        keys(tmp_path).ring()


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    put(other / "key", A.as_text())
    file.symlink_to(other / "key")
    with pytest.raises(MasterKeyError, match="link out of its folder"):
        keys(tmp_path).ring()
    file.unlink()
    put(tmp_path / "key", A.as_text())
    file.symlink_to("key")
    assert keys(tmp_path).ring() == MasterRing(A)


def test_a_folder_that_everybody_may_write_is_refused(tmp_path: Path, file: Path) -> None:
    put(file, A.as_text())
    tmp_path.chmod(0o777)
    try:
        for act in (keys(tmp_path).ring, keys(tmp_path).make):
            with pytest.raises(MasterKeyError, match="written by everybody"):
                act()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, file: Path) -> None:
    put(file, A.as_text())
    os.chown(file, 12345, -1)
    with pytest.raises(MasterKeyError, match="uid 12345"):
        keys(tmp_path).ring()


@pytest.mark.parametrize("text", ["", "sk-or-v1-no-master-key", A.as_text()[:-3], "\x00" * 70_000])
def test_a_file_that_holds_no_key_is_named_and_never_quoted(tmp_path: Path, file: Path, text: str) -> None:
    put(file, text)
    with pytest.raises(MasterKeyError) as caught:
        keys(tmp_path).ring()
    assert str(file) in str(caught.value)
    assert "no-master-key" not in str(caught.value)
    assert A.as_text()[8:30] not in str(caught.value)


def test_what_a_crash_left_half_written_is_written_over(tmp_path: Path, file: Path) -> None:
    put(tmp_path / f".{file.name}.half", "tkmk1:half")
    found = keys(tmp_path)
    found.create(MasterRing(A))
    found.replace(MasterRing(B, (A,)))
    assert keys(tmp_path).ring() == MasterRing(B, (A,))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_disk_that_refuses_leaves_the_ring_as_it_was(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = keys(tmp_path)
    found.create(MasterRing(A))

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(MasterKeyError, match="No space left"):
        found.replace(MasterRing(B))
    assert (found.ring(), keys(tmp_path).ring()) == (MasterRing(A), MasterRing(A))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_modes_of_secrets_that_a_container_mounts_are_its_own(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(file, A.as_text(), 0o444)
    monkeypatch.setattr(master_keys, "_MOUNTS", (tmp_path,))
    assert keys(tmp_path).ring() == MasterRing(A)
