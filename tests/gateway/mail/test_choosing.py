"""Which way mail leaves by is a matter of the settings."""

from pathlib import Path

import pytest

from gateway.mail.transports import FolderTransport, NoTransport, SmtpTransport, choose_transport
from gateway.settings import GatewaySettings

SETTINGS = {
    "database_url": "postgresql+psycopg:///unused",
    "bento_token": "x" * 32,
    "reference_key": "x" * 32,
    "token_key": "x" * 32,
}


def test_the_settings_choose(tmp_path: Path) -> None:
    def chosen(**values: object) -> type:
        return type(choose_transport(GatewaySettings.model_validate({**SETTINGS, "spool": tmp_path, **values})))

    assert chosen() is NoTransport
    assert chosen(smtp_url="", mail_folder=tmp_path) is FolderTransport
    assert chosen(smtp_url="smtp://mail.example.org", mail_folder=tmp_path) is SmtpTransport


@pytest.mark.parametrize(
    "values",
    [
        {"smtp_url": "http://mail.example.org"},
        {"smtp_url": "smtp://"},
        {"mail_from": "nobody"},
        {"mail_from": "A <a@b>\nBcc: c@d"},
    ],
)
def test_settings_that_are_no_mail_server_or_sender_are_refused(tmp_path: Path, values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be"):
        GatewaySettings.model_validate({**SETTINGS, "spool": tmp_path, **values})
