//! Python steps: code, a function of the workflow file, a file of the workspace.

use plue_wire::runner::{Assign, Exit, Program};
use serde_json::json;

use crate::engine::{World, program, with_claim};

fn code(code: &str, call: Option<&str>, args: &[&str]) -> Assign {
    program(Program::PythonCode {
        code: code.to_owned(),
        call: call.map(str::to_owned),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    })
}

/// Both ways to run Python must look the same to a step.
const MODES: [&[&str]; 3] = [&[], &["--python"], &["--no-warm-python"]];

#[test]
fn code_runs_as_main_in_the_workspace() {
    for mode in MODES {
        let (world, mut session) = World::start(mode);
        std::fs::write(world.workspace().join("neighbour.py"), "x = 5").unwrap();
        let text = "import sys, os, neighbour\nprint(__name__, neighbour.x, sys.argv[1:], os.environ['A'])\n\
                    print('err', file=sys.stderr)\nopen(os.environ['PLUE_OUTPUT'], 'w').write('k=v')\nsys.exit(4)";
        let mut assign = code(text, None, &["one", "two"]);
        assign.env = vec![("A".to_owned(), "\u{fc}".to_owned())];
        let log = session.run(&assign);
        assert_eq!(log.text(), "__main__ 5 ['one', 'two'] \u{fc}\n");
        assert_eq!(log.stderr, b"err\n");
        assert_eq!(log.exit(), &Exit::Code(4));
        assert_eq!(log.output(), json!({"k": "v"}));
        assert_eq!(world.kept_files(), [""; 0]);
    }
}

#[test]
fn returned_values_are_the_output() {
    for mode in MODES {
        let (_world, mut session) = World::start(mode);
        let cases = [
            ("def f(a, b='x'):\n    return {'a': a, 'n': 1}", json!({"a": "1", "n": 1})),
            ("def f(a):\n    return [a]", json!(["1"])),
            ("def f(a):\n    print(a)", json!("1")),
        ];
        for (fence, (text, output)) in (1..).zip(cases) {
            let log = session.run(&with_claim("a", fence, code(text, Some("f"), &["1"])));
            assert_eq!(log.exit(), &Exit::Code(0), "{log:?}");
            assert_eq!(log.output(), output);
        }
        let log =
            session.run(&with_claim("a", 9, code("def f():\n    return object()", Some("f"), &[])));
        assert_eq!(log.exit(), &Exit::Code(1));
        assert!(String::from_utf8(log.stderr).unwrap().contains("not JSON serializable"));
    }
}

#[test]
fn an_exception_shows_the_lines_of_the_step_only() {
    for mode in MODES {
        let (_world, mut session) = World::start(mode);
        let log = session.run(&code("def f():\n    raise ValueError('no')\n\nf()", None, &[]));
        assert_eq!(log.exit(), &Exit::Code(1));
        let text = String::from_utf8(log.stderr).unwrap();
        assert!(text.contains("raise ValueError('no')") && text.contains("line 2"), "{text}");
        assert!(!text.contains("run_code") && !text.contains("<string>"), "{text}");
        let log = session.run(&with_claim("b", 2, code("x = = 1", None, &[])));
        let text = String::from_utf8(log.stderr).unwrap();
        assert!(text.contains("SyntaxError") && !text.contains("Traceback"), "{text}");
    }
}

#[test]
fn scripts_have_their_folder_on_the_path() {
    for mode in MODES {
        let (world, mut session) = World::start(mode);
        std::fs::create_dir(world.workspace().join("ci")).unwrap();
        std::fs::write(world.workspace().join("ci/near.py"), "y = 6").unwrap();
        let text = "import sys, near\nprint(__name__, near.y, sys.argv, __file__)";
        std::fs::write(world.workspace().join("ci/s.py"), text).unwrap();
        let script = |path: &str| {
            program(Program::PythonScript { script: path.to_owned(), args: vec!["a".to_owned()] })
        };
        let log = session.run(&script("ci/s.py"));
        let file = log.text();
        assert!(
            file.starts_with("__main__ 6 ['ci/s.py', 'a'] ") && file.ends_with("ci/s.py\n"),
            "{log:?}"
        );
        let log = session.run(&with_claim("b", 2, script("absent.py")));
        assert_eq!(log.exit(), &Exit::Code(2));
        assert!(String::from_utf8(log.stderr).unwrap().contains("absent.py"));
    }
}

#[test]
fn steps_share_nothing_in_memory() {
    for mode in MODES {
        let (_world, mut session) = World::start(mode);
        let text = "import sys, os, json\nassert not hasattr(json, 'mark')\njson.mark = 1\nos.environ['MARK'] = '1'\n\
                    assert os.getpid() == os.getpgrp()\nprint(os.getpid(), os.environ.get('ONLY_FIRST'))";
        let mut first = code(text, None, &[]);
        first.env = vec![("ONLY_FIRST".to_owned(), "1".to_owned())];
        let first = session.run(&first);
        let second = session.run(&with_claim("b", 2, code(text, None, &[])));
        assert_eq!(first.exit(), &Exit::Code(0), "{first:?}");
        assert_eq!(second.exit(), &Exit::Code(0), "{second:?}");
        assert!(second.text().ends_with(" None\n"));
    }
}

#[test]
fn a_python_step_is_stopped_like_any_other() {
    for mode in MODES {
        let (_world, mut session) = World::start(mode);
        let text = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(1000)";
        let mut assign = code(text, None, &[]);
        assign.timeout_ms = 700;
        assign.grace_ms = 100;
        let log = session.run(&assign);
        assert_eq!(log.exit(), &Exit::TimedOut);
        assert_eq!(log.stdout, b"ready\n");
        let text = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)\nos.abort()";
        let log = session.run(&with_claim("b", 2, code(text, None, &[])));
        assert_eq!(log.exit(), &Exit::Signal(6));
        assert_eq!(log.result.unwrap().leaked, 1);
    }
}

#[test]
fn threads_and_exit_handlers_are_awaited() {
    for mode in MODES {
        let (_world, mut session) = World::start(mode);
        let text = "import atexit, threading, time\natexit.register(print, 'handler')\n\
                    threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\nprint('main')";
        let log = session.run(&code(text, None, &[]));
        assert_eq!(log.text(), "main\nthread\nhandler\n");
    }
}

const SHOW: &str = "print(open('/proc/self/cmdline').read().split('\\0')[-2])";

#[test]
fn python_steps_are_forked_where_possible() {
    let (_world, mut session) = World::start(&[]);
    let log = session.run(&code(SHOW, None, &[]));
    assert_eq!(log.text(), "serve\n");
    let mut assign =
        with_claim("b", 2, code("import sys; print(sys.flags.hash_randomization)", None, &[]));
    assign.env = vec![("PYTHONHASHSEED".to_owned(), "0".to_owned())];
    assert_eq!(session.run(&assign).text(), "0\n");
    let long = format!("x = '{}'\n{SHOW}", "y".repeat(500_000));
    let log = session.run(&with_claim("c", 3, code(&long, None, &[])));
    assert_ne!(log.text(), "serve\n");
}

#[test]
fn killing_the_interpreter_hurts_no_other_step() {
    let (_world, mut session) = World::start(&[]);
    let text = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(0.1)\nprint('on')\nraise SystemExit(6)";
    let log = session.run(&code(text, None, &[]));
    assert_eq!((log.exit(), log.stdout.as_slice()), (&Exit::Code(6), &b"on\n"[..]));
    let log = session.run(&with_claim("b", 2, code("print('next')", None, &[])));
    assert_eq!((log.exit(), log.stdout.as_slice()), (&Exit::Code(0), &b"next\n"[..]));
}
