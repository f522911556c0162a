# expect: error|killed
# tries: replace that grows quadratically
# class: resources
def workflow():
    s = "a"
    while True:
        s = s.replace("a", "aa")
