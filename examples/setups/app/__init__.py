"""A shop so small that every set-up has something to check."""


def total(prices, discount=0):
    """The sum of the prices, less so many per cent."""
    return sum(prices) * (100 - discount) // 100


def label(name, count):
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
