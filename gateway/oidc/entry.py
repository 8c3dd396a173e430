"""Lets in whom a provider vouched for."""

from gateway.accounts.identities import Identities, Person
from gateway.accounts.profiles import Profiles
from gateway.accounts.schemas import LoginAnswer
from gateway.accounts.sessions import Sessions
from gateway.accounts.sign_in_handlers import login_answer
from gateway.audit.service import Actor


class Entry:
    """Opens sessions for people, who get an account at first sight."""

    def __init__(self, identities: Identities, sessions: Sessions, profiles: Profiles) -> None:
        self._identities = identities
        self._sessions = sessions
        self._profiles = profiles

    async def let_in(self, person: Person, *, client: str, actor: Actor) -> LoginAnswer:
        """Open a session.

        Raises:
            EmailTakenError: The person's verified e-mail is that of an account that the person is not linked to.
            AccountSuspendedError: The account is suspended.
        """
        account_id = await self._identities.meet(person, actor=actor, refuse_taken_email=True)
        tokens = await self._sessions.open(account_id, method="oidc", address=actor.address, client=client, actor=actor)
        return login_answer(tokens, await self._profiles.read(account_id))
