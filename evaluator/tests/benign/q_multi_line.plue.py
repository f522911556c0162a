# expect: ok
# multi line
TEXT = '''
line {x}
'''.strip().replace('{x}', 'y')
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(TEXT)[:500] or "e")])
