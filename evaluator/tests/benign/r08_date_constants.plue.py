# expect: ok
QUARTERS = {1: ("01-01", "03-31"), 2: ("04-01", "06-30")}
DAY_S = 24 * 60 * 60
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]


def cron(hour, minute=0, days="*"):
    return f"{minute} {hour} * * {days}"


def workflow():
    nightly = cron(hour=2, minute=30, days="1-5")
    first, last = QUARTERS[1]
    return Plan(
        name="nightly",
        triggers=[Trigger.on_schedule(nightly)],
        steps=[Step.bash("report", f"report --from {first} --to {last} --ttl {7 * DAY_S}", timeout="2h"),
               *[Step.bash(f"sync-{d}", "./sync.sh") for d in WEEKDAYS]],
    )
