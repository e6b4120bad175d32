"""Seeds that depend on counters alone, so that a resumed run needs no generator state. No torch."""

import hashlib


def derive_seed(seed: int, purpose: str, *counters: int) -> int:
    """Derive the seed of one random draw from a run's seed, what it is for, and where it happens.

    The value is the same on every machine and Python version. Two calls that differ in any part
    are independent for all practical purposes: (1, "order", 23) and (12, "order", 3) differ.

    Args:
        seed: The run's own seed.
        purpose: What is drawn, such as "order" or "augmentation".
        counters: Where in the run, such as the epoch or the global step.

    Returns:
        An integer from 0 up to 2^63, as every generator of torch takes it.
    """
    parts = (str(seed), purpose, *(str(counter) for counter in counters))
    # Each part carries its length, so that no two lists of parts give the same bytes.
    text = "".join(f"{len(part)}:{part};" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"potstill-seed").digest()
    return int.from_bytes(digest, "big") >> 1
