"""Everything about the gateway that a deployment decides, read once from `BONAFIDE_…` environment variables.

Secrets and addresses of other processes have no default: the gateway does not start without them.
"""

from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.contract import LONG_MODALITIES, Modality
from gateway.issuers.configuration import TrustedIssuer
from gateway.oidc.configuration import OidcProvider

MIB: Final = 1024 * 1024
MEDIA_MODALITIES: Final = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
"""The modalities that come as files and have a Bento."""
FIGURES_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Prometheus' own variable: the folder where processes add up their figures; read when its library is imported."""


class GatewaySettings(BaseSettings):
    """Settings of the gateway process; sizes in bytes, times in seconds."""

    # What is refused may hold secrets, so the message does not repeat it.
    model_config = SettingsConfigDict(env_prefix="BONAFIDE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    environment: str = Field("local", description="Name of the deployment, shown by /health.")
    gateway_host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    gateway_port: int = Field(8000, description="Port the gateway listens on.")
    gateway_workers: int = Field(1, ge=1, description="Gateway processes that share the port.")
    public_url: str = Field(
        "http://127.0.0.1:8000", description="Address under which clients reach the gateway, for links in mails."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    access_log: bool = Field(True, description="Whether each answered request is logged.")

    database_url: SecretStr = Field(description="postgresql+psycopg:// address of the database.")
    database_pool: int = Field(8, ge=2, description="Connections a process keeps for admitting and settling.")
    migrate_on_start: bool = Field(True, description="Whether starting applies what migrations are missing.")

    bento_token: SecretStr = Field(min_length=32, description="Bearer token shared with the Bentos.")
    reference_key: SecretStr = Field(min_length=32, description="Signs references to media in the spool folder.")
    image_bento_url: str = Field("http://127.0.0.1:3001", description="Address of the image Bento.")
    video_bento_url: str = Field("http://127.0.0.1:3002", description="Address of the video Bento.")
    audio_bento_url: str = Field("http://127.0.0.1:3003", description="Address of the audio Bento.")
    text_bento_url: str = Field("http://127.0.0.1:3004", description="Address of the text Bento.")
    spool: Path = Field(description="Folder for large uploads, shared with the Bentos.")
    object_store: str | None = Field(
        None,
        pattern=r"^((file:///|s3://|gs://|az://).*[^/])?$",
        description="Address of what uploads and kept media lie in; the folder `media` beside the spool folder.",
    )
    upload_max_bytes: int = Field(5120 * MIB, gt=0, description="Largest file that is taken as a signed upload.")
    upload_open_s: int = Field(86_400, ge=60, description="How long an upload may take from its announcement on.")
    uploads_per_account: int = Field(1000, ge=1, description="Most uploads of an account that are not complete.")
    passing_s: int = Field(86_400, ge=60, description="How long media that are not kept stay for a job to need them.")
    passing_bytes: int = Field(
        20_480 * MIB, gt=0, description="Most bytes of an account that are in the store without being kept."
    )

    image_max_bytes: int = Field(10 * MIB, gt=0, description="Largest image accepted.")
    video_max_bytes: int = Field(100 * MIB, gt=0, description="Largest video accepted.")
    audio_max_bytes: int = Field(50 * MIB, gt=0, description="Largest audio file accepted.")
    text_max_bytes: int = Field(MIB, gt=0, description="Largest text accepted.")
    memory_limit_bytes: int = Field(8 * MIB, gt=0, description="Uploads above this go to the spool folder.")
    upload_memory_bytes: int = Field(
        256 * MIB, gt=0, description="Memory that all uploads of a process share before they go to the spool folder."
    )
    upload_timeout_s: float = Field(300, gt=0, description="Longest time that sending a file may take.")
    image_deadline_s: float = Field(25, gt=0, description="Longest time that judging an image may take.")
    video_deadline_s: float = Field(280, gt=0, description="Longest time that judging a video may take.")
    audio_deadline_s: float = Field(280, gt=0, description="Longest time that judging an audio file may take.")
    text_deadline_s: float = Field(60, gt=0, description="Longest time that judging a text may take.")
    job_deadline_s: float = Field(
        3600, gt=0, le=6 * 3600, description="Longest time that judging a video or a sound of a job may take."
    )
    drain_timeout_s: float = Field(30, ge=0, description="How long stopping waits for detections in flight.")

    token_key: SecretStr = Field(min_length=32, description="Signs access tokens; only the gateway knows it.")
    access_token_s: int = Field(900, ge=60, description="How long an access token of /v1 lives.")
    refresh_token_s: int = Field(2_592_000, ge=3600, description="How long a session lives without being refreshed.")
    require_verified_email: bool = Field(
        False, description="Whether an account with a password is locked until its e-mail is verified."
    )
    sign_in_tries: int = Field(5, ge=1, description="Failed sign-ins by one name before the waits begin.")
    sign_in_tries_by_address: int = Field(50, ge=1, description="The same by one network address.")
    sign_in_longest_wait_s: float = Field(900, ge=0, description="Longest wait after a failed sign-in.")
    verification_token_s: int = Field(86_400, ge=60, description="How long the token in a verification mail is good.")
    reset_token_s: int = Field(3600, ge=60, description="How long the token in a password mail is good.")
    anonymous_burst: int = Field(60, ge=1, description="Sign-ups and begun sign-ins a minute from one address.")
    default_plan: str = Field("standard", description="Plan of a newly made account.")
    keys_per_account: int = Field(100, ge=1, description="Most living API keys of an account.")
    bin_days: int = Field(30, ge=1, description="Days after which deleted detections are removed for good.")
    reuse_charge: int = Field(0, ge=0, le=1, description="What a repeated verdict counts against the daily limit.")

    worker_concurrency: int = Field(4, ge=1, le=64, description="Jobs that a worker runs at once.")
    job_lease_s: float = Field(
        15,
        ge=2,
        le=300,
        description="Seconds that a worker has a job for without a sign of life; then another takes it.",
    )
    job_most_losses: int = Field(10, ge=1, description="Workers that may vanish with a job before it is given up.")
    jobs_from_urls: bool = Field(False, description="Whether jobs may name an address that the platform fetches.")
    url_timeout_s: float = Field(300, gt=0, description="Longest time that fetching a file from an address may take.")
    batch_max_items: int = Field(10_000, ge=1, le=10_000, description="Most items of a batch.")
    batch_body_max_bytes: int = Field(8 * MIB, gt=0, description="Largest list of items that makes a batch.")
    batch_archive_max_bytes: int = Field(
        1024 * MIB, gt=0, description="Largest zip archive that is the body of a call; larger ones are uploads."
    )
    batch_unpacked_max_bytes: int = Field(
        20 * 1024 * MIB, gt=0, description="Most bytes that a zip archive may unpack to."
    )
    job_retention_days: int = Field(14, ge=1, description="Days for which finished jobs are kept.")
    outbound_allowed_networks: list[str] = Field(
        default=[],
        description="JSON list of networks that webhooks and jobs may call beside the public internet.",
    )
    outbound_ports: list[int] = Field(
        default=[80, 443, 8080, 8443], description="JSON list of ports that are called on the public internet."
    )
    webhooks_over_http: bool = Field(False, description="Whether webhooks may be sent without TLS.")
    webhook_endpoints_per_account: int = Field(10, ge=1, le=100, description="Most webhook endpoints of an account.")
    webhook_deadline_s: float = Field(10, gt=0, le=60, description="Longest time that one try of a webhook may take.")
    webhook_failing_days: float = Field(
        3, gt=0, description="Days without a success after which a webhook endpoint is disabled."
    )
    live_streams: int = Field(2000, ge=1, description="Most streams of a process by which jobs are followed live.")
    live_streams_per_account: int = Field(100, ge=1, description="Most of them for one account.")
    live_heartbeat_s: float = Field(15, gt=0, le=300, description="Seconds without an event until a sign of life.")
    live_longest_s: float = Field(
        3600, gt=0, description="How long a stream stays open before its client has to come again."
    )
    smtp_url: SecretStr | None = Field(
        None, description="smtp:// or smtps:// address of the mail server, with its user and password."
    )
    mail_from: str = Field("Bonafide <no-reply@localhost>", description="Sender of mail.")
    mail_folder: Path | None = Field(
        None, description="Where mail is put as files while no mail server is named, for `bonafide mail`."
    )
    mail_timeout_s: float = Field(20, gt=0, description="Longest time that handing over a mail may take.")

    trusted_proxies: list[str] = Field(
        default=[],
        description="JSON list of networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    trusted_hosts: list[str] = Field(
        default=["*"], description="JSON list of host names that are answered to; *.example.org for all below it."
    )
    https_only: bool = Field(False, description="Whether plain HTTP is redirected to HTTPS.")
    hsts_max_age_s: int = Field(
        31_536_000, ge=0, description="How long browsers that came by HTTPS insist on it; 0 for not at all."
    )
    cors_origins: list[str] = Field(
        default=[f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (5173, 3000, 3001, 8501)],
        description="JSON list of origins whose browser pages may call the gateway.",
    )

    rp_id: str = Field("localhost", description="Domain that passkeys are made for.")
    origins: list[str] = Field(
        default=[f"http://localhost:{port}" for port in (8000, 5173, 3000, 3001, 8501)],
        description="JSON list of origins whose pages may use passkeys, and to which an outside sign-in may return.",
    )
    oidc_providers: list[OidcProvider] = Field(
        default=[], description="JSON list of OpenID Connect providers that people may sign in at."
    )
    issuers: list[TrustedIssuer] = Field(
        default=[], description="JSON list of outside issuers whose tokens are accepted."
    )

    @field_validator("trusted_proxies", "outbound_allowed_networks")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        return [str(ip_network(one)) for one in value]

    @field_validator("database_url")
    @classmethod
    def _names_the_driver(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith("postgresql+psycopg://"):
            raise ValueError("must start with postgresql+psycopg://")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        address = urlsplit(value.get_secret_value())
        if address.scheme not in {"smtp", "smtps"} or not address.hostname:
            raise ValueError("must be smtp://host or smtps://host")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_one_sender(cls, value: str) -> str:
        if "@" not in parseaddr(value)[1] or not value.isprintable():
            raise ValueError("must be an address, or a name and an address in angle brackets")
        return value

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: list[str]) -> list[str]:
        for one in value:
            address = urlsplit(one)
            if address.scheme not in {"http", "https"} or one != f"{address.scheme}://{address.netloc}":
                raise ValueError(f"{one!r} is no origin such as https://app.example.org")
        return value

    @field_validator("oidc_providers")
    @classmethod
    def _have_names_of_their_own(cls, value: list[OidcProvider]) -> list[OidcProvider]:
        if len({one.name for one in value}) != len(value):
            raise ValueError("must have different names")
        return value

    @field_validator("issuers")
    @classmethod
    def _are_different_issuers(cls, value: list[TrustedIssuer]) -> list[TrustedIssuer]:
        if len({one.issuer for one in value}) != len(value):
            raise ValueError("must be different issuers")
        return value

    def bento_url(self, modality: Modality) -> str:
        """Address of the Bento that judges `modality`, without a trailing slash."""
        urls = {
            Modality.IMAGE: self.image_bento_url,
            Modality.VIDEO: self.video_bento_url,
            Modality.AUDIO: self.audio_bento_url,
            Modality.TEXT: self.text_bento_url,
        }
        return urls[modality].rstrip("/")

    def media_limit(self, modality: Modality) -> int:
        """Largest file of `modality` in bytes."""
        limits = {
            Modality.IMAGE: self.image_max_bytes,
            Modality.VIDEO: self.video_max_bytes,
            Modality.AUDIO: self.audio_max_bytes,
            Modality.TEXT: self.text_max_bytes,
        }
        return limits[modality]

    def deadline(self, modality: Modality, *, long: bool = False) -> float:
        """Seconds that judging a medium of `modality` may take; `long`: in a job."""
        if long and modality in LONG_MODALITIES:
            return self.job_deadline_s
        deadlines = {
            Modality.IMAGE: self.image_deadline_s,
            Modality.VIDEO: self.video_deadline_s,
            Modality.AUDIO: self.audio_deadline_s,
            Modality.TEXT: self.text_deadline_s,
        }
        return deadlines[modality]
