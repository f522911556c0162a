# Runs the code of Python steps. Part of plue-runner, which starts it as `python3 -u -c THIS …`:
#
#   code SOURCE CALL RETURNED [ARG…]   run the file SOURCE, then call the function CALL (if not
#                                      empty) and put its value as JSON into the file RETURNED
#   serve                              fork a process for each request on the socket at
#                                      descriptor 0 and report how it ended
#
# A step sees a fresh `__main__` and its working directory first on `sys.path`, as with
# `python3 -c`; a script sees what `python3 SCRIPT` gives it.
import os
import sys


def fresh_main():
    """An empty `__main__`."""
    import types

    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    return main.__dict__


def run_code(source, call, returned, args):
    """Runs a step's source; gives the exit status."""
    name = "<step>"
    names = fresh_main()
    sys.argv = ["-c", *args]
    sys.path[0] = ""

    def work():
        exec(compile(source, name, "exec", dont_inherit=True), names)
        if call:
            value = names[call](*args)
            if hasattr(value, "send") and hasattr(value, "cr_code"):
                import asyncio

                value = asyncio.run(value)
            if value is not None:
                put(value, returned)

    return guarded(work, name, source)


def run_script(script, args):
    """Runs a file; gives the exit status."""
    path = os.path.abspath(script)
    if os.path.isdir(path):
        os.execv(sys.executable, [sys.executable, "-u", script, *args])
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        text = f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        print(text, file=sys.stderr)
        return 2
    names = fresh_main()
    names["__file__"] = path
    sys.argv = [script, *args]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    return guarded(lambda: exec(compile(source, path, "exec", dont_inherit=True), names))


def guarded(work, name=None, source=None):
    """Calls; gives the exit status that the interpreter would give."""
    try:
        work()
    except SystemExit as stop:
        return status_of(stop.code)
    except BaseException as error:
        report(error, name, source)
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

    if name is not None:
        text = source if isinstance(source, str) else source.decode("utf-8", "replace")
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


# What steps often import. Loaded into the warm interpreter while nobody waits for it.
USUAL = ["json", "traceback", "linecache", "subprocess", "socket", "pathlib", "datetime"]


def serve():
    """Hands each request on the socket to a process forked for it, until the socket is closed.

    Only what is built in or quick to load is imported before the first request: it waits for that.
    """
    import _socket
    import gc
    import marshal  # noqa: F401  warm for the children
    import select
    import signal
    import time  # noqa: F401

    control = _socket.socket(fileno=os.dup(0))
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    # Ctrl-C is for the engine; children get Python's handler back.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    private = (control.fileno(), wake, waker)
    # What exists now stays shared with the children.
    gc.freeze()
    control.send(b"ready")
    usual, spare = list(USUAL), None
    while True:
        if spare is None:
            # Forked ahead: the next request finds it waiting.
            spare = waiting(private)
        events = poll.poll(50 if usual else None)
        if not events:
            load(usual.pop(0))
        for end, _ in events:
            if end == wake:
                os.read(wake, 4096)
                reap(control)
                continue
            data, ends = receive(control)
            if not data:
                os._exit(0)
            (pid, there), spare = hand_on(spare, data, ends, private), None
            control.send(b"started %d" % pid)
            # Only now: the step may kill this process, and must not have begun without its id being known.
            try:
                there.send(b"go", _socket.MSG_NOSIGNAL)
            except OSError:
                pass  # It has died: reported as any other end.
            there.close()


def load(name):
    """Imports a module that a step may want, if it can be had."""
    try:
        __import__(name)
    except Exception:
        pass


def receive(end):
    """A request with its descriptors."""
    import _socket

    room = _socket.CMSG_SPACE(8)
    data, control, _, _ = end.recvmsg(1 << 19, room)
    ends = []
    for level, kind, bytes_ in control:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            parts = range(0, len(bytes_) - len(bytes_) % 4, 4)
            ends += [int.from_bytes(bytes_[at:at + 4], sys.byteorder) for at in parts]
    return data, ends


def waiting(private):
    """A forked process that waits for its request: its id and the way to it."""
    import _socket

    here, there = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    here.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 1 << 19)
    pid = os.fork()
    if pid == 0:
        here.close()
        child(there, private)
    there.close()
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # The child was faster, or has already ended.
    return pid, here


def hand_on(spare, data, ends, private):
    """Gives a request to the process that waits, or to a new one if that has died: its id and the way to it."""
    import _socket

    rights = b"".join(end.to_bytes(4, sys.byteorder) for end in ends)
    control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
    for last_try in (False, True):
        pid, there = spare
        try:
            there.sendmsg([data], control, _socket.MSG_NOSIGNAL)
            break
        except OSError:
            there.close()
            if last_try:
                raise
            spare = waiting(private)
    for end in ends:
        os.close(end)
    return pid, there


def reap(control):
    """Reports every child that has ended."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        cpu = int((usage.ru_utime + usage.ru_stime) * 1_000_000)
        control.send(b"ended %d %d %d %d" % (pid, status, cpu, usage.ru_maxrss))


def child(there, private):
    """The process of one step, which it waits for. Does not return."""
    status = 1
    try:
        os.setpgid(0, 0)
        import marshal
        import signal
        import time

        zone = os.environ.get("TZ")
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in private:
            os.close(end)
        data, ends = receive(there)
        if not data or not there.recv(2):
            os._exit(0)
        there.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        request = marshal.loads(data)
        for end, target in zip(ends, (1, 2)):
            os.dup2(end, target)
            os.close(end)
        wanted = request["env"]
        for name in [name for name in os.environ if name not in wanted]:
            del os.environ[name]
        for name, value in wanted.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if wanted.get("TZ") != zone:
            time.tzset()
        os.chdir(request["cwd"])
        if request["script"] is None:
            status = run_code(request["code"], request["call"], request["returned"], request["args"])
        else:
            status = run_script(request["script"], request["args"])
        finish()
    except BaseException as error:
        report(error, None, None)
        status = 1
    finally:
        os._exit(status)


def finish():
    """What the interpreter does before it ends: threads, exit handlers, buffers."""
    import atexit

    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def main():
    """Does what the arguments say."""
    if sys.argv[1] == "serve":
        serve()
    _mode, path, call, returned, *args = sys.argv[1:]
    with open(path, "rb") as file:
        source = file.read()
    sys.exit(run_code(source, call, returned, args))


main()
