"""A C program with make, in two build modes with folders of their own: steps that run side by side share files."""

MODES = {"debug": "-O0 -g", "release": "-O2"}


def workflow():
    return Plan(
        name="c-with-make",
        steps=[
            Step.bash(
                f"make-{mode}",
                'mkdir -p "out/$MODE" && cp native/* "out/$MODE" && make --no-print-directory -C "out/$MODE" check && echo "$MODE is fine"',
                env={"MODE": mode, "CFLAGS": flags},
                artifacts=[f"out/{mode}/sum"],
            )
            for mode, flags in MODES.items()
        ],
    )
