# expect: ok
# the builtins that stay
def workflow():
    assert abs(-1) == 1 and all([1]) and any([0, 1]) and bin(5) == "0b101" and chr(65) == "A" and ord("A") == 65
    assert divmod(7, 3) == (2, 1) and hex(255) == "0xff" and oct(8) == "0o10" and pow(2, 10) == 1024 and round(2.567, 1) == 2.6
    assert list(map(str, filter(None, [0, 1]))) == ["1"] and max([1, 3], key=lambda x: -x) == 1 and min(3, 2) == 2 and sum([1, 2]) == 3
    assert isinstance(1, (int, str)) and issubclass(bool, int) and callable(len) and isinstance(int, type) and type(1) is int
    assert getattr("x", "upper")() == "X" and hasattr([], "append") and getattr(1, "nope", None) is None and hash(3) == 3
    assert frozenset([1]) == {1} and complex(1, 2).imag == 2.0 and bytes([65]).decode() == "A" and "é".encode("utf-8") == b"\xc3\xa9"
    assert slice(1, 2).start == 1 and type("x").__name__ == "str" and repr("a") == "'a'" and ascii("é") == "'\\xe9'"
    assert sorted("bca", reverse=True) == ["c", "b", "a"] and list(enumerate("a", 1)) == [(1, "a")] and tuple(zip("a", [1])) == (("a", 1),)
    print("a", 1, None, sep="-", end="!\n")
    return Plan(name=__name__, steps=[Step.bash("a", "true")])
