"""Everything that the gateway is made of, on one page: what is opened at start, and what depends on what."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from gateway.access.credentials import CredentialReader
from gateway.access.guard import Guard
from gateway.accounts.export import AccountExport
from gateway.accounts.identities import Identities
from gateway.accounts.letters import Letters
from gateway.accounts.passwords import Passwords
from gateway.accounts.profiles import Profiles
from gateway.accounts.recovery import Recovery
from gateway.accounts.service import Accounts
from gateway.accounts.sessions import Sessions
from gateway.admin.jobs import JobAdministration
from gateway.admin.plans import Plans
from gateway.admin.queue import QueueControl
from gateway.admin.queue_tasks import QueueTasks
from gateway.admin.users import Users
from gateway.audit.reading import AuditLog
from gateway.background import Chore, doing
from gateway.batches.making import Making
from gateway.batches.reading import BatchReading
from gateway.batches.results import Results
from gateway.batches.service import Batches
from gateway.compat.frames import Frames
from gateway.compat.site_history import SiteHistory
from gateway.db.engine import connection_string, open_database
from gateway.detections.admission import Admission
from gateway.detections.client import open_bento_client
from gateway.detections.intake import Intake
from gateway.detections.media import MediaStore, MemoryBudget
from gateway.detections.reception import Reception
from gateway.detections.reuse import Reuse
from gateway.detections.service import Detections, longest_life_s
from gateway.health import Fitness
from gateway.history.changes import Changes
from gateway.history.service import History
from gateway.history.stats import Stats
from gateway.idempotency.service import Idempotency
from gateway.issuers.fetching import open_outside
from gateway.issuers.service import TrustedIssuers
from gateway.jobs.acceptance import Acceptance
from gateway.jobs.ending import Endings
from gateway.jobs.figures import QueueFigures
from gateway.jobs.preferring import LaterDetections
from gateway.jobs.reception import JobReception
from gateway.jobs.service import Jobs
from gateway.keys.last_use import LastUse
from gateway.keys.service import Keys
from gateway.limits.addresses import AddressLimit
from gateway.limits.days import UsageByDay
from gateway.limits.usage import Usage
from gateway.live.hub import Hub
from gateway.live.running import listening
from gateway.live.service import RECHECK_S, Live
from gateway.live.sockets import Sockets
from gateway.metrics import Metrics
from gateway.models.service import Models
from gateway.oidc.entry import Entry
from gateway.oidc.service import OutsideSignIn
from gateway.outbound.client import open_outbound
from gateway.passkeys.service import Passkeys, party_of
from gateway.passkeys.sign_in import PasskeySignIn
from gateway.settings import GatewaySettings
from gateway.storage.keeping import Keeping
from gateway.storage.objects import open_object_store
from gateway.storage.service import Storage
from gateway.storage.shelf import Shelf
from gateway.uploads.addresses import Signer
from gateway.uploads.completion import Completion
from gateway.uploads.receiving import Receiving
from gateway.uploads.service import Uploads
from gateway.webhooks.deliveries import DeliveryLog
from gateway.webhooks.endpoints import Endpoints

_ABANDONED_S: Final = 3600
"""After this long without a byte, what was being written to the object store never will be."""

SERVICES = (
    "reception",
    "guard",
    "history",
    "changes",
    "storage",
    "stats",
    "site_history",
    "frames",
    "usage",
    "usage_by_day",
    "keys",
    "accounts",
    "sessions",
    "profiles",
    "recovery",
    "account_export",
    "passkeys",
    "passkey_sign_in",
    "outside_sign_in",
    "entry",
    "identities",
    "users",
    "plans",
    "queue_tasks",
    "job_administration",
    "queue_control",
    "queue_figures",
    "audit_log",
    "jobs",
    "job_reception",
    "later_detections",
    "live",
    "sockets",
    "uploads",
    "completion",
    "receiving",
    "batches",
    "batch_making",
    "webhook_endpoints",
    "webhook_deliveries",
    "models",
    "fitness",
    "metrics",
)
"""What handlers may depend on, by name."""


@asynccontextmanager
async def open_services(settings: GatewaySettings, metrics: Metrics) -> AsyncGenerator[dict[str, object]]:
    """Open what the gateway needs for the life of a process, do the chores meanwhile, and close it in order.

    Yields:
        `SERVICES` by name, and what guards ask for.
    """
    async with (
        open_database(settings) as database,
        open_bento_client(settings) as bentos,
        open_outside() as outside,
        open_object_store(settings) as objects,
        open_outbound(settings) as outbound,
    ):
        last_use = LastUse(database.pool)
        identities = Identities(database.engine, settings.default_plan)
        issuers = TrustedIssuers(settings.issuers, outside, identities)
        reader = CredentialReader(settings.token_key.get_secret_value(), issuers)
        guard = Guard(database.pool, reader, last_use)
        models = Models(bentos)
        history = History(database.pool)
        budget = MemoryBudget(settings.upload_memory_bytes)
        store = MediaStore(settings.spool, memory_limit=settings.memory_limit_bytes, budget=budget)
        intake = Intake(settings, store)
        shelf = Shelf(database.engine, objects, settings)
        signer = Signer(settings.token_key.get_secret_value(), settings.public_url)
        acceptance = Acceptance(database.engine, models)
        detections = Detections(
            admission=Admission(database.pool),
            bentos=bentos,
            store=store,
            history=history,
            reuse=Reuse(database.pool, models, charge=settings.reuse_charge),
            keeping=Keeping(database.engine, objects),
            last_use=last_use,
            metrics=metrics,
            settings=settings,
        )
        hub = Hub(database.pool)
        live = Live(database.pool, hub, metrics, settings)
        fitness = Fitness(database.pool, bentos, settings)
        passwords = Passwords()
        accounts = Accounts(database.engine, passwords, settings)
        sessions = Sessions(database.engine, settings)
        profiles = Profiles(database.engine, accounts)
        jobs = Jobs(database.engine, database.pool, history, Endings())
        job_reception = JobReception(
            engine=database.engine,
            intake=intake,
            store=store,
            shelf=shelf,
            acceptance=acceptance,
            guard=guard,
            outbound=outbound,
            settings=settings,
        )
        webhook_deliveries = DeliveryLog(database.engine)
        services: dict[str, object] = {
            "address_limit": AddressLimit(database.pool, settings.anonymous_burst),
            "idempotency": Idempotency(database.engine, settings.token_key.get_secret_value()),
            "reception": Reception(intake, detections, guard, models),
            "guard": guard,
            "history": history,
            "changes": Changes(database.engine),
            "storage": Storage(database, objects),
            "stats": Stats(database.pool),
            "site_history": SiteHistory(database.pool),
            "frames": Frames(settings, budget),
            "usage": Usage(database.pool),
            "usage_by_day": UsageByDay(database.pool),
            "keys": Keys(database.engine, most=settings.keys_per_account),
            "accounts": accounts,
            "sessions": sessions,
            "profiles": profiles,
            "recovery": Recovery(database.engine, passwords, accounts, Letters(database.engine, settings), settings),
            "account_export": AccountExport(database),
            "outside_sign_in": OutsideSignIn(database.engine, outside, settings),
            "entry": Entry(identities, sessions, profiles),
            "identities": identities,
            "passkeys": Passkeys(database.engine, party_of(settings)),
            "passkey_sign_in": PasskeySignIn(database.engine, party_of(settings), settings),
            "users": Users(database.engine),
            "plans": Plans(database.engine, settings.default_plan),
            "queue_tasks": QueueTasks(database.pool),
            "job_administration": JobAdministration(database.engine, Endings()),
            "queue_control": QueueControl(database.engine),
            "queue_figures": QueueFigures(database.engine),
            "audit_log": AuditLog(database.engine),
            "jobs": jobs,
            "job_reception": job_reception,
            "later_detections": LaterDetections(guard, job_reception, jobs),
            "uploads": Uploads(database.engine, objects, shelf, signer, settings),
            "completion": Completion(database.engine, objects, shelf, settings),
            "receiving": Receiving(database.engine, objects, shelf, signer, settings),
            "batches": Batches(database.engine, database.pool, Results(database.pool), Endings()),
            "batch_making": Making(database.engine, shelf, store, settings),
            "batch_reading": BatchReading(store, settings),
            "webhook_endpoints": Endpoints(database.engine, webhook_deliveries, outbound, settings),
            "webhook_deliveries": webhook_deliveries,
            "live": live,
            "sockets": Sockets(guard, live, [*settings.cors_origins, *settings.origins]),
            "shelf": shelf,
            "acceptance": acceptance,
            "models": models,
            "fitness": fitness,
            "metrics": metrics,
        }
        chores = [
            Chore("probe the Bentos", 3, fitness.probe),
            Chore("ask the Bentos for their models", 5, models.catalogue),
            Chore("note the last use of keys and sessions", 5, last_use.flush),
            Chore("end the streams of those who may not follow any more", RECHECK_S, live.recheck),
            Chore("sweep abandoned detections", 10, detections.sweep),
            Chore("sweep the spool", 60, lambda: asyncio.to_thread(store.sweep, longest_life_s(settings))),
            Chore("sweep uploads that broke off", 600, lambda: asyncio.to_thread(objects.sweep_aside, _ABANDONED_S)),
        ]
        try:
            async with listening(hub, connection_string(settings.database_url.get_secret_value())), doing(chores):
                yield services
        finally:
            await detections.drain()
            await last_use.flush()
            passwords.close()
            metrics.close()
