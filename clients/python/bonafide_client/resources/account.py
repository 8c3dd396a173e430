"""`client.account`: what an account sees, changes and ends of itself."""

from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource, Streaming
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.accounts import Account, Identity, IdentityList, Passkey, PasskeyList, Session

_READ = reader_of(Account)
_READ_PASSKEY = reader_of(Passkey)
_READ_PASSKEYS = reader_of(PasskeyList)
_READ_IDENTITIES = reader_of(IdentityList)
_READ_SESSIONS = reader_of(Page[Session])


class AccountResource(Resource[D]):
    """The caller's account."""

    @Operation
    def retrieve(self) -> Call[Account]:
        """Read who one is."""
        return Call(method="GET", path=path_of("account"), read=_READ)

    @Operation
    def update(self, *, username: str) -> Call[Account]:
        """Take another username."""
        return Call(method="PATCH", path=path_of("account"), read=_READ, json={"username": username})

    @Operation
    def change_password(self, current: str, new: str) -> Call[None]:
        """Set a new password by the current one. All other sessions close; keys stay as they are."""
        return Call(
            method="POST",
            path=path_of("account", "password"),
            read=read_nothing,
            json={"current_password": current, "new_password": new},
            repeatable=False,
        )

    @Listing
    def sessions(self, *, limit: int | None = None, cursor: str | None = None) -> PageCall[Session]:
        """List the open sessions, newest first. `limit` is the size of a page."""
        query = query_of({"limit": limit})
        return PageCall(path=path_of("account", "sessions"), read=_READ_SESSIONS, query=query, cursor=cursor)

    @Operation
    def close_session(self, session_id: UUID | str) -> Call[None]:
        """Close a session; its tokens are dead at once."""
        path = path_of("account", "sessions", session_id)
        return Call(method="DELETE", path=path, read=read_nothing, repeatable=False)

    @Operation
    def passkeys(self) -> Call[tuple[Passkey, ...]]:
        """List the passkeys, the oldest first. They are made in a browser."""
        return Call(method="GET", path=path_of("account", "passkeys"), read=lambda answer: _READ_PASSKEYS(answer).data)

    @Operation
    def rename_passkey(self, passkey_id: UUID | str, name: str) -> Call[Passkey]:
        """Call a passkey something else."""
        path = path_of("account", "passkeys", passkey_id)
        return Call(method="PATCH", path=path, read=_READ_PASSKEY, json={"name": name})

    @Operation
    def remove_passkey(self, passkey_id: UUID | str) -> Call[None]:
        """Remove a passkey, unless it is the last way to sign in."""
        path = path_of("account", "passkeys", passkey_id)
        return Call(method="DELETE", path=path, read=read_nothing, repeatable=False)

    @Operation
    def identities(self) -> Call[tuple[Identity, ...]]:
        """List what outside issuers know the account by, the oldest first."""
        path = path_of("account", "identities")
        return Call(method="GET", path=path, read=lambda answer: _READ_IDENTITIES(answer).data)

    @Operation
    def link_identity(self, code: str, verifier: str) -> Call[None]:
        """Link whom a provider vouched for, by the code that came back and the secret of its challenge."""
        body = {"code": code, "verifier": verifier}
        path = path_of("account", "identities")
        return Call(method="POST", path=path, read=read_nothing, json=body, repeatable=False)

    @Operation
    def unlink_identity(self, issuer: str, subject: str) -> Call[None]:
        """Unlink an identity, unless it is the last way to sign in."""
        query = query_of({"issuer": issuer, "subject": subject})
        path = path_of("account", "identities")
        return Call(method="DELETE", path=path, read=read_nothing, query=query, repeatable=False)

    @Streaming
    def export(self) -> Call[None]:
        """Read everything that is kept about the account, a JSON document with `kind` and `data` on each line.

        The last line is of the kind `end`; without it the export is not complete.
        """
        return Call(method="GET", path=path_of("account", "export"), read=read_nothing)

    @Operation
    def delete(self, *, password: str | None = None) -> Call[None]:
        """Delete the account, by the password or in a session that has just begun. Export it first."""
        body = None if password is None else {"password": password}
        return Call(method="DELETE", path=path_of("account"), read=read_nothing, json=body, repeatable=False)
