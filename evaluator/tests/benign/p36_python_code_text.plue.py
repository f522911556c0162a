# expect: ok
# python steps from text, with braces and dollars that nobody touches
CODE = """
import os
print(f"{os.environ['HOME']} ${{x}}")
"""


def workflow():
    return Plan(name="Code", steps=[Step.python("a", CODE, args=["1"]), Step.bash("b", "echo ${HOME} $(date) {}")])
