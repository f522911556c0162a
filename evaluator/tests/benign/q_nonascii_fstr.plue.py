# expect: ok
# nonascii fstr
N = 'Zoë'
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(f'{N!r:>10} – ✓')[:500] or "e")])
