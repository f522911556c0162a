# expect: error
# tries: workflow as a class whose __call__ is a workflow
# class: plan
class W:
    def __call__(self):
        return self
workflow = W()
