# expect: ok
# walrus, nested comprehensions, conditional expressions, unpacking, slices
def workflow():
    data = [1, 5, 9, 12]
    big = [half for n in data if (half := n // 2) > 2]
    pairs = {f"{a}{b}": a * b for a in range(3) for b in range(a)}
    unique = sorted({x % 3 for x in data})
    first, *middle, last = data
    merged = {**pairs, "z": 1}
    text = ",".join(str(x) for x in [*big, *unique, first, last, *middle[::-1]])
    size = "big" if len(merged) > 2 else "small"
    return Plan(name="Comprehensions", steps=[Step.bash("a", f"echo {text} {size}")])
