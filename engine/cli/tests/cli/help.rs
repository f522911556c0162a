//! Help, version, and commands that need nothing.

use std::io::Read as _;

use crate::support::Bench;

#[test]
fn row_4_11_help_and_version_go_to_standard_output() {
    let bench = Bench::new();
    bench.plue(&["--version"]).ends(0).shows(&[&format!("plue {}\n", env!("CARGO_PKG_VERSION"))]);
    bench.plue(&["--help"]).ends(0).shows(&[
        "Usage: plue",
        "run ",
        "status ",
        "list ",
        "Exit codes: 0 ok",
    ]);
    for command in crate::reference::COMMANDS {
        let output = bench.plue(&[command, "--help"]).ends(0);
        output.shows(&[&format!("Usage: plue {command}")]);
        assert_eq!(output.stderr, "");
    }
}

#[test]
fn help_groups_commands_by_what_people_do() {
    let bench = Bench::new();
    let output = bench.plue(&["--help"]).ends(0);
    let at = |text: &str| {
        output.stdout.find(text).unwrap_or_else(|| panic!("{text}: {}", output.stdout))
    };
    let titles = [
        "\nWrite and check:\n",
        "\nRun:\n",
        "\nLook:\n",
        "\nDecide and answer:\n",
        "\nKeep secrets:\n",
        "\nServe:\n",
        "\nKeep and move data:\n",
        "\nSet up and help:\n",
        "\nOptions:\n",
    ];
    assert!(titles.map(at).is_sorted(), "{}", output.stdout);
    assert!(at("\n  validate ") < at("\nRun:\n") && at("\n  run ") < at("\nLook:\n"));
    for word in ["source 004", "jail", "engine died", "tables"] {
        assert!(!output.stdout.contains(word), "{word}");
    }
}

#[test]
fn wrong_command_lines_exit_with_2_and_advice() {
    let bench = Bench::new();
    bench.plue(&["rnu"]).ends(2).reports(&["run"]);
    bench.plue(&[]).ends(2).reports(&["Usage: plue"]);
    bench.plue(&["runs", "--output", "yaml"]).ends(2).reports(&["table, json, jsonl"]);
    bench.plue(&["runs", "--status", "red"]).ends(2).reports(&[
        "PLUE-C0001",
        "red",
        "one of queued",
    ]);
}

#[test]
fn row_4_02_digests_of_files_match_the_published_vectors() {
    let bench = Bench::new();
    bench.write("abc", "abc");
    let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for args in [["hash", "--file", "abc"].as_slice(), &["hash", "abc"]] {
        assert_eq!(bench.plue(args).ends(0).stdout, format!("{sha}  abc\n"));
    }
    let blake3 = bench.plue(&["hash", "--file", "abc", "--algo", "blake3"]).ends(0).stdout;
    assert!(
        blake3.starts_with("6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85 ")
    );
    assert_eq!(
        bench.plue_reading(&["hash", "--file", "-"], "abc").ends(0).stdout,
        format!("{sha}  -\n")
    );
    bench.plue(&["hash", "--file", "nothing"]).ends(4).reports(&["PLUE-C0005", "nothing"]);
    bench.plue(&["hash"]).ends(2);
}

#[test]
fn completions_are_a_script_of_the_shell() {
    let bench = Bench::new();
    bench.plue(&["completions", "bash"]).ends(0).shows(&["_plue()", "complete -F _plue"]);
    bench.plue(&["completions", "fish"]).ends(0).shows(&["complete -c plue"]);
}

#[test]
fn schemas_are_printed_as_published() {
    let bench = Bench::new();
    let names = bench.plue(&["schema"]).ends(0).stdout;
    assert!(names.lines().count() >= 14, "{names}");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas");
    for name in names.lines() {
        let published = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        assert_eq!(bench.plue(&["schema", name]).ends(0).stdout, published, "{name}");
    }
    bench.plue(&["schema", "pln"]).ends(4).reports(&["did you mean `plan`?"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::new();
    let mut child = bench
        .command(&["completions", "zsh"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
