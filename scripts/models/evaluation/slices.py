"""The slices that every set has: what a medium is like, as the Bento measured it."""

from typing import Final

from bentos.contract import AudioEvidence, Evidence, ImageEvidence, TextEvidence, VideoEvidence

_SIDES: Final = (256, 512, 1024)
_SECONDS: Final = (3, 10, 60)
_WORDS: Final = (100, 300, 1000)


def slices_of(evidence: Evidence) -> dict[str, str]:
    """Format, size by the shorter side in pixels, length in seconds or words, and whether a face was found."""
    match evidence:
        case ImageEvidence():
            return {
                "format": evidence.format,
                "size": _class(min(evidence.width, evidence.height), _SIDES, "pixels"),
                "face": "found" if evidence.faces_found else "none",
            }
        case VideoEvidence():
            return {
                "format": evidence.codec,
                "size": _class(min(evidence.width, evidence.height), _SIDES, "pixels"),
                "length": _class(evidence.duration_s, _SECONDS, "s"),
                "face": "found" if evidence.faces_found else "none",
            }
        case AudioEvidence():
            rate = f"{evidence.sample_rate / 1000:g} kHz"
            length = _class(evidence.duration_s, _SECONDS, "s")
            return {"format": evidence.codec, "sample rate": rate, "length": length}
        case TextEvidence():
            return {"format": evidence.encoding, "length": _class(evidence.words, _WORDS, "words")}


def _class(value: float, bounds: tuple[int, ...], unit: str) -> str:
    """Name of the class that a value falls into, such as "256 to 511 pixels" for whole numbers."""
    edges = (0, *bounds)
    place = sum(value >= bound for bound in bounds)
    if place == 0:
        return f"under {bounds[0]} {unit}"
    if place == len(bounds):
        return f"from {bounds[-1]} {unit}"
    return f"{edges[place]} to under {bounds[place]} {unit}"
