# expect: killed|error
# tries: deepcopy of an object that copies itself
# class: resources
import copy
class A:
    def __deepcopy__(self, memo):
        return copy.deepcopy([self, self])
def workflow():
    copy.deepcopy(A())
