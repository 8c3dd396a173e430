import pytest

from gateway.accounts.names import check_names, is_email, is_login, is_username
from gateway.errors import InvalidBodyError


@pytest.mark.parametrize(
    "email", ["ada@example.org", "a.b+c@sub.example.org", "é@exämple.org", "a@b.c", "x=y?z@b.c", "x" * 64 + "@b.c"]
)
def test_an_email_has_a_mailbox_and_a_domain(email: str) -> None:
    assert is_email(email)
    assert is_login(email)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@localhost",
        "two@at@example.org",
        "a b@example.org",
        "ada@example.org\n",
        "nul\x00@example.org",
        "<ada@example.org>",
        "a,b@example.org",
        "a;b@example.org",
        '"a"@example.org',
        "a(b)@example.org",
        "a@[192.0.2.1].org",
        "a\u200bb@example.org",
        "a\u202eb@example.org",
        "a\u00a0b@example.org",
        "a\ud800b@example.org",
        ".a@example.org",
        "a.@example.org",
        "a..b@example.org",
        "a@example..org",
        "a@.example.org",
        "=?utf-8?q?attacker=40evil.org=3e=00?=foo@company.com",
        "foo@=?utf-8?q?evil.org=3e?=.company.com",
        "x" * 65 + "@example.org",
        "ada@" + "x" * 250 + ".org",
    ],
)
def test_what_could_not_be_mailed_to_is_no_email(email: str) -> None:
    assert not is_email(email)


@pytest.mark.parametrize("username", ["ada", "Ada.Lovelace", "a-1", "李小龙", "x" * 64])
def test_a_username_is_letters_digits_and_a_few_marks(username: str) -> None:
    assert is_username(username)
    assert is_login(username)


@pytest.mark.parametrize("username", ["", "a", "x" * 65, "a b", "ada@example.org", "a/b", "ada\n", "a\x00b", "😀😀"])
def test_other_usernames_are_refused(username: str) -> None:
    assert not is_username(username)
    with pytest.raises(InvalidBodyError):
        check_names(None, username)


def test_an_account_needs_some_name() -> None:
    with pytest.raises(InvalidBodyError):
        check_names(None, None)
