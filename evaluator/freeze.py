"""Compiles the modules of the standard library that an evaluation may need, for the self-contained build.

Run by build.rs with the interpreter that is embedded: the code belongs to exactly that version.
Takes the folder to write to; prints nothing. Must not import what it freezes from anywhere but
that interpreter's own library.
"""

import importlib.util
import marshal
import pathlib
import sys

# What `sys.modules` holds after the language layer is prepared, less what CPython itself freezes.
MODULES = """
    __future__ _weakrefset collections collections.abc contextlib copy copyreg encodings
    encodings.aliases encodings.ascii encodings.latin_1 encodings.utf_8 enum functools heapq json
    json.decoder json.encoder json.scanner keyword operator re re._casefix re._compiler
    re._constants re._parser reprlib shlex string textwrap types typing warnings weakref
""".split()

# Debian builds `_typing` as a file of its own, which a self-contained program cannot load.
OWN = {"_typing": "_idfunc = staticmethod(lambda x: x)\n"}


def read(name):
    """The text of a module, and whether it is a package."""
    if name in OWN:
        return OWN[name], False
    spec = importlib.util.find_spec(name)
    return pathlib.Path(spec.origin).read_bytes(), spec.submodule_search_locations is not None


def main():
    folder = pathlib.Path(sys.argv[1])
    table = ["&["]
    for name in sorted([*MODULES, *OWN]):
        text, package = read(name)
        # As `python -OO` would not: asserts of the library stay, as in the development build.
        code = compile(text, f"<frozen {name}>", "exec", dont_inherit=True, optimize=0)
        path = folder / f"{name}.frozen"
        path.write_bytes(marshal.dumps(code))
        table.append(f'(c"{name}", include_bytes!({str(path)!r}), {str(package).lower()}),'.replace("'", '"'))
    table.append("]")
    (folder / "frozen.rs").write_text("\n".join(table))


main()
