# expect: ok
# main
def workflow():
    return Plan('x', steps=[Step.bash('a','b')])
if __name__ == '__main__':
    print(workflow())
