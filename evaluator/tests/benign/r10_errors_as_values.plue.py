# expect: ok
class ConfigError(Exception):
    def __init__(self, key, reason):
        super().__init__(f"{key}: {reason}")
        self.key = key


def parse(text):
    result = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        try:
            key, value = line.split("=", 1)
        except ValueError:
            raise ConfigError(f"line {number}", "no =") from None
        result[key.strip()] = int(value) if value.strip().isdigit() else value.strip()
    return result


def workflow():
    try:
        parse("broken")
    except ConfigError as error:
        note = str(error)
    else:
        note = "none"
    finally:
        conf = parse("shards = 3\nname = tests # all\n")
    return Plan(name=conf["name"], steps=[Step.bash(f"shard-{n}", f"pytest --shard {n}/{conf['shards']} # {note}") for n in range(conf["shards"])])
