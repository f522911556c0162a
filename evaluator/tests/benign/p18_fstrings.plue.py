# expect: ok
# f-strings with every kind of specification, and str.format
import math


def workflow():
    n, name, width = 1234.5678, "x", 8
    parts = [
        f"{n:.2f}", f"{n:>12,.1f}", f"{int(n):08x}", f"{name!r:>6}", f"{name:*^{width}}", f"{n=:.1f}", f"{True!s}",
        f"{'nested ' + f'{name}'}", f"{{literal}}", f"{math.pi:.4f}", f"{10**6:_}", f"{0.25:.0%}",
        "{} {}".format(1, 2), "{1} {0}".format("a", "b"), "{x:>{w}}".format(x="r", w=4), "{0[k]} {1[0]}".format({"k": "v"}, [7]),
        "{!r}".format("q"), "{{}}".format(), "%s-%04d" % ("a", 7), "{:,}".format(1234567), str.format("{}!", "s"), format(3.14159, ".2f"),
    ]
    expected = ["1234.57", "     1,234.6", "000004d2", "   'x'", "***x****", "n=1234.6", "True", "nested x", "{literal}",
                "3.1416", "1_000_000", "25%", "1 2", "b a", "   r", "v 7", "'q'", "{}", "a-0007", "1,234,567", "s!", "3.14"]
    assert parts == expected, [p for p, e in zip(parts, expected) if p != e]
    return Plan(name="Format", steps=[Step.bash("a", "echo " + " ".join(parts).replace("'", ""))])
