"""`client.account`: what an account sees, changes and ends of itself."""

from uuid import UUID

from bonafide_client.answers import read_nothing, reader_of
from bonafide_client.calls import Call, path_of, query_of
from bonafide_client.operations import D, Listing, Operation, Resource, Streaming
from bonafide_client.paging import Page, PageCall
from bonafide_client.schemas.accounts import Account, Session

_READ = reader_of(Account)
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
