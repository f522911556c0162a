# expect: error
# tries: a subclass of string.Template with its own pattern
# class: format strings
from string import Template
class T(Template):
    pattern = r"(?P<named>x)(?P<braced>y)(?P<escaped>z)(?P<invalid>w)"
def workflow():
    x = T("x").substitute(x=type)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x.__mro__))])
