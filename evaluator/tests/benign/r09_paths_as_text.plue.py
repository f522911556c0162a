# expect: ok
def parts(path):
    return [p for p in path.split("/") if p not in ("", ".")]


def join(*pieces):
    return "/".join(piece.strip("/") for piece in pieces)


def stem(path):
    name = parts(path)[-1]
    return name.rsplit(".", 1)[0] if "." in name else name


def workflow():
    files = ["src/app/main.py", "./src/lib/util.test.py", "README"]
    return Plan(name="paths", steps=[Step.bash(stem(f).replace(".", "-").lower(), f"lint {join('work', f)}") for f in files])
