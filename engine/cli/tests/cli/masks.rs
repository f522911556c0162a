//! Masks over the life of a run: changed secrets, and names of artifacts.

use crate::support::{Bench, snapshot};

const OLDER: &str = "the-older-text-5d41402a";
const NEWER: &str = "the-newer-text-7b52009b";

/// A step leaves its secret in the workspace; a later one, which has none, prints it.
const LEAVES: &str = r#"
def workflow():
    return Plan(name="Leaves", steps=[
        Step.bash("get", "printf %s \"$TOKEN\" | rev > left", secrets=["TOKEN"]),
        Step.bash("print", "test -e ../fixed; rev left; test -e ../fixed", depends_on=["get"]),
        Step.bash("again", "test \"$TOKEN\" != x", secrets=["TOKEN"], depends_on=["print"]),
    ])
"#;

/// Names of artifacts that are made of a secret.
const NAMES: &str = r#"
def workflow():
    return Plan(name="Names", steps=[
        Step.bash("make", "mkdir out; echo 1 > \"out/$TOKEN.txt\"; echo 2 > out/plain.txt",
                  secrets=["TOKEN"], artifacts=["out/**"]),
    ])
"#;

#[test]
fn older_values_are_masked_after_a_change() {
    let bench = Bench::with(LEAVES);
    bench.plue_reading(&["secret", "set", "TOKEN"], OLDER).ends(0);
    bench.plue(&["run"]).ends(1);
    bench.plue_reading(&["secret", "set", "TOKEN"], NEWER).ends(0);
    std::fs::write(bench.repo().join("../fixed"), "").unwrap();
    bench.plue(&["retry", "last"]).ends(0);
    let log = bench.plue(&["logs", "last", "print"]).ends(0);
    assert!(log.stdout.contains("***") && !log.stdout.contains(OLDER), "{}", log.stdout);
    // Also under another master key, and once the secret is gone.
    bench.plue(&["secret", "rotate"]).ends(0);
    bench.plue(&["retry", "last", "--from", "print"]).ends(0);
    bench.plue(&["secret", "rm", "TOKEN"]).ends(0);
    bench.plue(&["retry", "last", "--from", "print"]);
    for (path, bytes) in snapshot(&bench.state()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(OLDER) && !text.contains(NEWER), "{}", path.display());
    }
}

#[test]
fn secrets_in_names_of_artifacts_are_masked() {
    let bench = Bench::with(NAMES);
    bench.plue_reading(&["secret", "set", "TOKEN"], OLDER).ends(0);
    bench.plue(&["run"]).ends(0).reports(&["names that hold a secret are masked: 1"]);
    let listed = bench.plue(&["artifacts", "last"]).ends(0);
    assert!(listed.stdout.contains("out/***.txt"), "{}", listed.stdout);
    assert!(listed.stdout.contains("out/plain.txt"), "{}", listed.stdout);
    for args in [&["artifacts", "last", "--output", "json"][..], &["logs", "last"], &["explain"]] {
        let output = bench.plue(args).ends(0);
        assert!(!output.stdout.contains(OLDER) && !output.stderr.contains(OLDER), "{args:?}");
    }
    let got = bench.plue(&["artifacts", "last", "--get", "out/***.txt"]).ends(0);
    assert_eq!(got.stdout, "1\n");
}
