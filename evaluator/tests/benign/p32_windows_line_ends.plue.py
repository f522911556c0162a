# expect: ok
# a file with CRLF line ends and tabs
def workflow():
	steps = [
		Step.bash('a', 'true'),
	]
	return Plan(name='CRLF', steps=steps)
