# expect: error
# tries: f-strings nested deeper than the parser likes
# class: source
def workflow():
    x = f"{f'{1}'}"
    y = f"{f'{f"""{f'''{1}'''}"""}'}"
    z = f"{x!r:{y}{y}{y}}"
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "{0.__class__}".format(z))])
