"""What the API answers, as immutable values. Fields that a newer API adds are left out."""

import msgspec


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the answers; `to_dict` gives one back as JSON has it."""

    def to_dict(self) -> dict[str, object]:
        """The value as a dictionary of what JSON knows, times and ids as text."""
        return msgspec.json.decode(msgspec.json.encode(self), type=dict[str, object])
