# expect: error|denied
# tries: a bare except around everything forbidden
# class: builtins
def workflow():
    for name in ["__import__", "open", "eval"]:
        try:
            getattr(print, name)
        except Exception:
            pass
    raise ValueError("nothing got through")
