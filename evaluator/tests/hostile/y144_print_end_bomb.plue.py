# expect: error|killed
# tries: print with a huge sep and end
# class: builtins
def workflow():
    print("a", "b", sep="x" * 10_000_000, end="y" * 100_000_000)
