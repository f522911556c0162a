# expect: error
# tries: import of a module in mathematical letters
# class: source
import 𝗈𝗌
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", 𝗈𝗌.name)])
