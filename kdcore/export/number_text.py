"""Numbers as people read them in reports."""

MINUS = "\N{MINUS SIGN}"


def percent(share: float, *, digits: int = 2) -> str:
    """Write 0.9784 as "97.84 %"."""
    return f"{100 * share:.{digits}f} %"


def signed(value: float, *, digits: int = 0) -> str:
    """Write a difference with its sign and thousands apart; what rounds to nothing is "0"."""
    text = f"{value:+,.{digits}f}"
    if not text.strip("+-0.,"):
        return "0"
    return text.replace("-", MINUS)


def count(value: int) -> str:
    """Write 21289802 as "21,289,802"."""
    return f"{value:,}"


def byte_size(num_bytes: int) -> str:
    """Write 1253376 as "1.25 MB", in powers of 1000."""
    size, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{num_bytes} B" if unit == "B" else f"{size:.2f} {unit}"


def axis_number(value: float) -> str:
    """Write a tick of an axis as short as it can be: "0.92", "12k", "1.5M"."""
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:.6g}".replace("-", MINUS)
