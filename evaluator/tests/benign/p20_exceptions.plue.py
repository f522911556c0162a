# expect: ok
# try, except, else, finally, raise from, own exceptions, with
class ConfigError(ValueError):
    def __init__(self, key, why="missing"):
        super().__init__(f"{key}: {why}")
        self.key = key


class Section:
    def __init__(self, name):
        self.name = name
        self.log = []

    def __enter__(self):
        self.log.append("in")
        return self

    def __exit__(self, kind, error, traceback):
        self.log.append("out" if kind is None else kind.__name__)
        return kind is ConfigError


def read(config, key):
    try:
        value = config[key]
    except KeyError as e:
        raise ConfigError(key) from e
    else:
        return value
    finally:
        print("read", key)


def workflow():
    section = Section("a")
    with section as s, Section("b"):
        read({}, s.name)
    assert section.log == ["in", "ConfigError"] or section.log == ["in", "out"]
    errors = []
    for bad in ("x", None, 1):
        try:
            int(bad)
        except (TypeError, ValueError) as e:
            errors.append(type(e).__name__)
    try:
        raise ConfigError("k")
    except Exception as e:
        errors.append(str(e))
    assert errors == ["ValueError", "TypeError", "k: missing"], errors
    return Plan(name="Exceptions", steps=[Step.bash("a", "true")])
