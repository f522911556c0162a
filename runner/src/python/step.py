# Runs the code of a Python step. Part of plue-runner, which starts it as `python3 -u -c THIS …`.
#
#   code SOURCE CALL RETURNED [ARG…]   run the file SOURCE, then call the function CALL (if not
#                                      empty) and put its value as JSON into the file RETURNED
#
# A step sees a fresh `__main__` and the workspace first on `sys.path`, as with `python3 -c`.
import sys


def run_code(source, call, returned, args):
    """Runs a step's source in a fresh `__main__`; gives the exit status."""
    import types

    name = "<step>"
    main = types.ModuleType("__main__")
    main.__dict__["__file__"] = name
    sys.modules["__main__"] = main
    sys.argv = [name, *args]
    if sys.path and sys.path[0] != "":
        sys.path[0] = ""
    try:
        exec(compile(source, name, "exec", dont_inherit=True), main.__dict__)
        if call:
            value = main.__dict__[call](*args)
            if value is not None:
                put(value, returned)
    except SystemExit as stop:
        return status_of(stop.code)
    except BaseException as error:
        report(error, name, source)
        # As the interpreter does for Ctrl-C and for everything else.
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def put(value, returned):
    """Writes what a called function returned."""
    import json

    text = json.dumps(value, allow_nan=False)
    with open(returned, "w", encoding="utf-8") as file:
        file.write(text)


def status_of(code):
    """What `sys.exit(code)` means."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def report(error, name, source):
    """Prints a traceback that shows the step's lines and not those of this program."""
    import linecache
    import traceback

    text = source if isinstance(source, str) else source.decode("utf-8", "replace")
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def main():
    """Runs what the arguments say."""
    _mode, path, call, returned, *args = sys.argv[1:]
    with open(path, "rb") as file:
        source = file.read()
    status = run_code(source, call, returned, args)
    sys.exit(status)


main()
