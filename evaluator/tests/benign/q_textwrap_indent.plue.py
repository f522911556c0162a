# expect: ok
# textwrap indent
import textwrap
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((textwrap.indent('a\nb', '  '), textwrap.shorten('hello world foo', width=11), textwrap.wrap('a b c', 3)))[:500] or "e")])
