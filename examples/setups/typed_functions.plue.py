"""Functions as steps: arguments and results keep their types, also those of an `async def`."""


def prices():
    return {"apples": [100, 250], "discount": 20}


def bill(items, discount, currency="cents"):
    amount = sum(items) * (100 - discount) // 100
    print(amount, currency)
    return {"amount": amount}


async def ship(amount):
    import asyncio

    await asyncio.sleep(0)
    print("shipped for", amount + 1)


def workflow():
    first = Step.python("prices", prices)
    second = Step.python("bill", bill, args=[first.output("apples"), first.output("discount")], depends_on=[first])
    checks = [
        Step.python(name, check, args=[second.output("amount")], depends_on=[second])
        for name, check in {"ship": ship}.items()
    ]
    return Plan(name="typed-functions", steps=[first, second, *checks])
