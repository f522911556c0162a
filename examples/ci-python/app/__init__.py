"""Money without floating point."""


def parse(text):
    """Cents in a text such as "12.34"."""
    whole, _, cents = text.partition(".")
    return int(whole) * 100 + int(cents.ljust(2, "0")[:2] or 0)


def show(cents):
    """The text of an amount in cents."""
    return f"{cents // 100}.{cents % 100:02}"
