# expect: ok
# bytes codec
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(('é'.encode().hex(), b'a'.decode('ascii'), 'x'.encode('latin-1'), bytes.fromhex('41')))[:500] or "e")])
