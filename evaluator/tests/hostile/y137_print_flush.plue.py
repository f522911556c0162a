# expect: error|killed
# tries: print with an object that prints in its text
# class: builtins
class A:
    def __str__(self):
        print(self)
        return ""
def workflow():
    print(A())
