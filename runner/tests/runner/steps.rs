//! Steps: environment, working directory, output.

use plue_wire::{
    eval::Bytes,
    runner::{Exit, Program, ToRunner},
};
use serde_json::json;

use crate::engine::{World, bash, program, with_claim};

#[test]
fn a_step_runs_and_its_end_comes_back() {
    let (_world, mut session) = World::start(&[]);
    let log = session.run(&bash("echo hello; echo oops >&2; exit 3"));
    assert_eq!(log.stdout, b"hello\n");
    assert_eq!(log.stderr, b"oops\n");
    assert_eq!(log.exit(), &Exit::Code(3));
    let result = log.result.unwrap();
    assert_eq!(result.leaked, 0);
    assert!(result.max_rss_kib > 100);
}

#[test]
fn bash_stops_at_failures_and_unset_variables() {
    let (_world, mut session) = World::start(&[]);
    for (fence, text) in
        [(1, "false | true; echo on"), (2, "echo $NOT_SET; echo on"), (3, "false; echo on")]
    {
        let log = session.run(&with_claim("a", fence, bash(text)));
        assert_eq!(log.exit(), &Exit::Code(1), "{text}");
        assert_eq!(log.stdout, b"");
    }
}

#[test]
fn sh_is_known_and_other_shells_are_refused() {
    let (_world, mut session) = World::start(&[]);
    let shell = |shell: &str| {
        program(Program::Shell { shell: shell.to_owned(), run: "echo $-".to_owned() })
    };
    let log = session.run(&shell("sh"));
    assert!(log.text().contains('e') && log.text().contains('u'));
    let log = session.run(&with_claim("b", 2, shell("fish")));
    assert!(matches!(log.exit(), Exit::Refused(why) if why.contains("fish")));
}

#[test]
fn signals_differ_from_exit_statuses() {
    let (_world, mut session) = World::start(&[]);
    assert_eq!(session.run(&bash("kill -SEGV $$")).exit(), &Exit::Signal(11));
}

#[test]
fn steps_inherit_few_variables() {
    let (world, mut session) = World::start(&[]);
    let mut assign = bash("env; echo; cat $PLUE_EVENT_PATH; test -r /dev/null && cat");
    assign.env = vec![("BRANCH".to_owned(), "$(touch x) \n y".to_owned())];
    assign.secrets = vec![("KEY".to_owned(), Bytes(b"abc".to_vec()))];
    let log = session.run(&assign).text();
    let has = |line: &str| log.lines().any(|found| found == line);
    assert!(has("KEY=abc") && has("BRANCH=$(touch x) ") && has(" y"), "{log}");
    assert!(has(&format!(
        "PLUE_WORKSPACE={}",
        world.workspace().canonicalize().unwrap().display()
    )));
    assert!(has("{\"type\":\"push\"}") && has("LC_ALL=C.UTF-8"), "{log}");
    assert!(!log.contains("NOT_FOR_STEPS") && !log.contains(crate::engine::TOKEN));
    assert!(std::fs::read_dir(world.workspace()).unwrap().next().is_none());
}

#[test]
fn outputs_are_objects_or_the_tail() {
    let (world, mut session) = World::start(&[]);
    let cases = [
        ("echo '{\"a\": [1]}' > $PLUE_OUTPUT", json!({"a": [1]})),
        (
            "echo a=1 >> $PLUE_OUTPUT; echo b=2 >> $PLUE_OUTPUT; echo no",
            json!({"a": "1", "b": "2"}),
        ),
        ("printf 'a<<E\\n1\\n2\\nE\\n' > $PLUE_OUTPUT", json!({"a": "1\n2"})),
        ("echo; echo ' text '", json!("text")),
        ("true", json!("")),
    ];
    for (fence, (text, output)) in (1..).zip(cases) {
        let log = session.run(&with_claim("a", fence, bash(text)));
        assert_eq!(log.output(), output, "{text}");
    }
    assert_eq!(world.kept_files(), [""; 0]);
}

#[test]
fn a_malformed_output_file_fails_a_step_that_succeeded() {
    let (_world, mut session) = World::start(&[]);
    let log = session.run(&bash("echo nonsense > $PLUE_OUTPUT"));
    assert!(matches!(log.exit(), Exit::Refused(why) if why.contains("line 1")), "{log:?}");
    let log = session.run(&with_claim("b", 2, bash("echo nonsense > $PLUE_OUTPUT; exit 4")));
    assert_eq!(log.exit(), &Exit::Code(4));
    let log = session.run(&with_claim("c", 3, bash("head -c 1048577 /dev/zero > $PLUE_OUTPUT")));
    assert!(matches!(log.exit(), Exit::Refused(why) if why.contains("1048576")), "{log:?}");
}

#[test]
fn working_directories_stay_in_the_workspace() {
    let (world, mut session) = World::start(&[]);
    std::fs::create_dir(world.workspace().join("sub")).unwrap();
    std::os::unix::fs::symlink("/tmp", world.workspace().join("link")).unwrap();
    let mut fence = 0;
    let mut run = |cwd: &str| {
        fence += 1;
        let mut assign = with_claim("a", fence, bash("pwd"));
        assign.cwd = Some(cwd.to_owned());
        session.run(&assign)
    };
    assert!(run("sub").text().ends_with("/work/sub\n"));
    for cwd in ["..", "/tmp", "link", "sub/../.."] {
        let log = run(cwd);
        assert!(
            matches!(log.exit(), Exit::Refused(why) if why.contains("outside")),
            "{cwd}: {log:?}"
        );
    }
    let log = run("absent");
    assert!(matches!(log.exit(), Exit::Refused(why) if why.contains("absent")), "{log:?}");
    assert!(log.others.is_empty());
}

#[test]
fn a_missing_program_is_named_with_a_hint() {
    let (_world, mut session) = World::start(&[]);
    let code = program(Program::PythonCode { code: String::new(), call: None, args: Vec::new() });
    for (fence, (name, mut assign)) in (1..).zip([("bash", bash("true")), ("python3", code)]) {
        assign.env = vec![("PATH".to_owned(), "/nowhere".to_owned())];
        let log = session.run(&with_claim("a", fence, assign));
        let Exit::Refused(why) = log.exit() else {
            panic!("{log:?}");
        };
        assert!(why.contains(name) && why.contains("/nowhere") && why.contains("PATH"), "{why}");
    }
}

#[test]
fn long_commands_run_from_a_file() {
    let (world, mut session) = World::start(&[]);
    let text = format!("{}\necho done", "# a long comment\n".repeat(40_000));
    assert_eq!(session.run(&bash(&text)).stdout, b"done\n");
    assert_eq!(world.kept_files(), [""; 0]);
}

#[test]
fn what_does_not_fit_into_an_environment_is_refused() {
    let (_world, mut session) = World::start(&[]);
    let mut assign = bash("true");
    assign.env = vec![("BIG".to_owned(), "x".repeat(4 * 1024 * 1024))];
    let log = session.run(&assign);
    assert!(matches!(log.exit(), Exit::Refused(why) if why.contains("too large")), "{log:?}");
    let mut assign = with_claim("b", 2, bash("true"));
    assign.env = vec![("A=B".to_owned(), String::new())];
    assert!(matches!(session.run(&assign).exit(), Exit::Refused(why) if why.contains("A=B")));
}

#[test]
fn steps_run_side_by_side() {
    let (world, mut session) = World::start(&[]);
    // Each waits for the other: one after the other they would never end.
    let meet =
        |own: &str, other: &str| bash(&format!("touch {own}; until test -e {other}; do :; done"));
    let assigns = [with_claim("a", 1, meet("a", "b")), with_claim("b", 2, meet("b", "a"))];
    for log in session.run_all(&assigns) {
        assert_eq!(log.exit(), &Exit::Code(0));
    }
    assert!(world.workspace().join("a").exists());
}

#[test]
fn an_output_that_is_no_regular_file_is_refused() {
    let (world, mut session) = World::start(&[]);
    std::fs::write(world.workspace().join("secret"), "{\"stolen\": true}").unwrap();
    for (fence, text) in (1..).zip([
        "mkfifo $PLUE_OUTPUT",
        "ln -s $PLUE_WORKSPACE/secret $PLUE_OUTPUT",
        "ln -s /etc/passwd $PLUE_OUTPUT",
        "mkdir $PLUE_OUTPUT",
        "ln -s /dev/zero $PLUE_OUTPUT",
    ]) {
        // Together with a harmless one.
        let assigns = [
            with_claim("harmful", fence, bash(text)),
            with_claim("harmless", fence, bash("echo a=1 > $PLUE_OUTPUT")),
        ];
        let logs = session.run_all(&assigns);
        let refused = logs
            .iter()
            .filter(|log| matches!(log.exit(), Exit::Refused(why) if why.contains("$PLUE_OUTPUT")));
        assert_eq!(refused.count(), 1, "{text}: {logs:?}");
        assert!(logs.iter().any(|log| log.output() == json!({"a": "1"})), "{text}: {logs:?}");
    }
}

#[test]
fn names_of_the_runners_files_cannot_be_taken() {
    let (world, mut session) = World::start(&[]);
    std::fs::write(world.workspace().join("precious"), "kept").unwrap();
    // The next steps' source, event and output files.
    let take = "cd $(dirname $PLUE_OUTPUT); ln -s $PLUE_WORKSPACE/precious b-2.sh; \
                mkfifo b-2.events; mkfifo event-2.json; mkfifo c-3.py";
    session.run(&with_claim("a", 1, bash(take)));
    let long = format!("{}\necho done", "# a long comment\n".repeat(40_000));
    let mut assign = with_claim("b", 2, bash(&long));
    assign.event_json = "{\"type\":\"other\"}".to_owned();
    assert_eq!(session.run(&assign).text(), "done\n");
    let code = Program::PythonCode { code: "print(1)".to_owned(), call: None, args: Vec::new() };
    assert_eq!(session.run(&with_claim("c", 3, program(code))).text(), "1\n");
    let kept = std::fs::read_to_string(world.workspace().join("precious")).unwrap();
    assert_eq!(kept, "kept");
}

#[test]
fn whole_numbers_over_64_bits_fail_the_step() {
    let (_world, mut session) = World::start(&[]);
    let log = session.run(&bash("echo '{\"n\": 18446744073709551616}' > $PLUE_OUTPUT"));
    assert!(matches!(log.exit(), Exit::Refused(why) if why.contains("64 bits")), "{log:?}");
    let code = "def f():\n    return 2 ** 70\n".to_owned();
    let code = Program::PythonCode { code, call: Some("f".to_owned()), args: Vec::new() };
    let log = session.run(&with_claim("b", 2, program(code)));
    assert!(
        matches!(log.exit(), Exit::Refused(why) if why.contains("1180591620717411303424")),
        "{log:?}"
    );
}

/// The step continues to write once the runner has read its output: then the order is defined.
#[test]
fn both_outputs_stay_in_read_order() {
    let (_world, mut session) = World::start(&[]);
    let code = "import array, fcntl, os, termios\n\
                def waits(fd):\n    \
                    left = array.array('i', [0])\n    \
                    fcntl.ioctl(fd, termios.FIONREAD, left)\n    \
                    return left[0]\n\
                for number in range(200):\n    \
                    fd = 1 + number % 2\n    \
                    os.write(fd, b'%d\\n' % number)\n    \
                    while waits(fd):\n        \
                        pass\n";
    let code = Program::PythonCode { code: code.to_owned(), call: None, args: Vec::new() };
    let log = session.run(&program(code));
    let expected: String = (0..200).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&log.both), expected);
}

#[test]
fn secrets_of_other_steps_are_masked_and_not_set() {
    let (_world, mut session) = World::start(&[]);
    let mut first = bash("echo $TOKEN > left; printf %s $TOKEN | base64 > left64");
    first.secrets = vec![("TOKEN".to_owned(), Bytes(b"swordfish-1".to_vec()))];
    session.run(&first);
    session.send(&ToRunner::Mask(vec![Bytes(b"older\nkey-of-two-lines".to_vec())]));
    let text = "cat left left64; echo \"${TOKEN-unset}\"; echo key-of-two-lines; \
                echo '{\"o\": \"swordfish-1\"}' > $PLUE_OUTPUT";
    let log = session.run(&with_claim("b", 2, bash(text)));
    assert_eq!(log.text(), "***\n***\nunset\n***\n");
    assert_eq!(log.output(), json!({"o": "***"}));
}
