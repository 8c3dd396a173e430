import stat
from pathlib import Path

from scripts.stack.folder import SECRET_NAMES, DataFolder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_random_private_and_stay(tmp_path: Path) -> None:
    folders = [DataFolder(tmp_path / name) for name in ("one", "other")]
    for folder in folders:
        folder.create()

    made = [[folder.secret(name) for name in SECRET_NAMES] for folder in folders]

    assert made[0] == [folders[0].secret(name) for name in SECRET_NAMES]
    assert len({*made[0], *made[1]}) == 2 * len(SECRET_NAMES)
    assert all(len(secret) >= 43 for secret in made[0])
    assert {mode(folders[0].secrets / name) for name in SECRET_NAMES} == {0o600}
    assert mode(folders[0].secrets) == 0o700


def test_only_passing_through_is_open_to_others(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "home")
    folder.create()

    assert mode(folder.root) == 0o711
    assert {mode(path) for path in (folder.logs, folder.run, folder.spool, folder.triton)} == {0o700}
