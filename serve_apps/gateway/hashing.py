"""Draws for rendezvous hashing: the same in every process, and one costs less than a microsecond. Pure."""

from hashlib import blake2b


def draw(text: str) -> int:
    """64 bits out of `text`."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def mixed(bits: int) -> int:
    """52 bits of which each depends on all 64 of `bits` (the finalizer of A. Appleby's MurmurHash3)."""
    bits = (bits ^ bits >> 33) * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
    bits = (bits ^ bits >> 33) * 0xC4CEB9FE1A85EC53 & 0xFFFFFFFFFFFFFFFF
    return (bits ^ bits >> 33) >> 12
