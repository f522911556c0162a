//! `plue secret`, and secrets on their way from the store to a step and nowhere else.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use crate::support::{Bench, snapshot};

const CANARY: &str = "c4n4ry-0f-th3-h0us3/with spaces+\"quotes\" & 'more' pad";
const NEEDS: &str = r#"
def workflow():
    return Plan(name="Needs", steps=[
        Step.bash("first", "touch first"),
        Step.bash("use", "test \"$(printf %s \"$TOKEN\" | sha256sum | cut -c1-64)\" = \"$(cat expected)\"",
                  secrets=["TOKEN"], depends_on=["first"]),
        Step.bash("other", "test -z \"${TOKEN:-}\"", depends_on=["first"]),
    ])
"#;

/// Prints its secret in every encoding, and fails.
const SHOUTS: &str = r#"
def workflow():
    code = '''
import base64, json, os, sys, urllib.parse
text = os.environ["TOKEN"]
raw = text.encode()
print(text, text.upper() == text)
print(base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode())
print(base64.b64encode(b"user:" + raw).decode(), base64.encodebytes(raw * 1).decode())
print(json.dumps({"t": text}), urllib.parse.quote(text), urllib.parse.quote_plus(text))
print(raw.hex(), raw.hex().upper())
sys.stdout.write(text[:10]); sys.stdout.flush(); sys.stdout.write(text[10:] + "\\n")
print(text, file=sys.stderr)
with open(os.environ["PLUE_OUTPUT"], "w") as file:
    json.dump({"leak": text, "hex": raw.hex()}, file)
raise RuntimeError(text)
'''
    return Plan(name="Shouts", on_failure="continue", steps=[
        Step.python("python", code, secrets=["TOKEN"]),
        Step.bash("trace", "set -x; echo \"$TOKEN\"; printf %s \"$TOKEN\" | base64 -w 20; exit 3", secrets=["TOKEN"]),
        Step.bash("under", "env | grep X_; exit 1", env={"X_TOKEN": secret("TOKEN")}),
    ])
"#;

fn forms(text: &str) -> Vec<String> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::to_string(text).unwrap();
    vec![
        text.to_owned(),
        text[8..30].to_owned(),
        hex[20..60].to_owned(),
        hex[20..60].to_uppercase(),
        json[1..json.len() - 1].to_owned(),
    ]
}

/// `NEEDS` compares the digest of its secret, because the files of the workspace are stored with a run.
fn digest(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(text))
}

/// That no file below holds the text in any form that is easy to read back.
fn holds_nothing(folder: &Path, text: &str) {
    for (path, bytes) in snapshot(folder) {
        for form in forms(text) {
            let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{form:?} is in {}", path.display());
        }
    }
}

#[test]
fn secrets_reach_only_steps_that_name_them() {
    let bench = Bench::with(NEEDS);
    bench.write("expected", digest(CANARY));
    let set = bench.plue_reading(&["secret", "set", "TOKEN"], &format!("{CANARY}\n")).ends(0);
    assert!(!format!("{set:?}").contains(CANARY));
    bench.plue(&["run"]).ends(0);
    let listed = bench.plue(&["secret", "list", "--output", "json"]).ends(0);
    assert_eq!(listed.json()["secrets"][0]["name"], "TOKEN");
    assert!(!listed.stdout.contains(CANARY));
    holds_nothing(&bench.home(), CANARY);
    let key = bench.home().join(".config/plue/secret.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(key).unwrap();
    for (path, bytes) in snapshot(&bench.state()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(key.trim()), "the key is in {}", path.display());
    }
}

#[test]
fn row_2_18_missing_secrets_are_refused_before_any_step() {
    let bench = Bench::with(NEEDS);
    let output = bench.plue(&["run"]).ends(4);
    output.reports(&[
        "PLUE-C0009",
        "step `use`",
        "`TOKEN`",
        "plue secret set TOKEN",
        "--secret TOKEN",
    ]);
    assert!(!bench.repo().join("first").exists());
    assert!(
        bench.plue(&["runs", "--output", "json"]).json()["runs"].as_array().unwrap().is_empty()
    );
    // The step that does not need it can be run alone.
    bench.plue(&["run", "--step", "first"]).ends(0);
}

#[test]
fn secrets_of_commands_override_repository_and_global_ones() {
    let bench = Bench::with(NEEDS);
    let set = |args: &[&str], text: &str| {
        bench.plue_reading(&[&["secret", "set", "TOKEN"], args].concat(), text).ends(0)
    };
    let run = |expected: &str, code: i32| {
        bench.write("expected", digest(expected));
        bench.plue(&["run"]).ends(code);
    };
    set(&["--global"], "everywhere");
    run("everywhere", 0);
    set(&[], "repository");
    run("repository", 0);
    bench.write("expected", digest("given"));
    let mut command = bench.command(&["run", "--secret", "TOKEN"]);
    assert!(command.env("TOKEN", "given").output().unwrap().status.success());
    bench.plue(&["secret", "rm", "TOKEN"]).ends(0);
    bench.plue(&["secret", "rm", "TOKEN"]).ends(4);
    run("everywhere", 0);
    // Another repository has no part in it.
    let other = Bench::with(NEEDS);
    other.plue(&["run"]).ends(4);
}

#[test]
fn row_2_18_no_encoding_of_a_secret_is_stored() {
    let bench = Bench::with(SHOUTS);
    bench.plue_reading(&["secret", "set", "TOKEN"], CANARY).ends(0);
    let output = bench.plue(&["run"]).ends(1);
    let mut all = format!("{}{}", output.stdout, output.stderr);
    for args in [
        &["logs", "last"][..],
        &["status", "last", "--output", "json"],
        &["explain", "last", "--output", "json"],
        &["plan", "--output", "json"],
    ] {
        let output = bench.plue(args);
        all += &output.stdout;
        all += &output.stderr;
    }
    assert!(all.contains("***"), "{all}");
    for form in forms(CANARY) {
        assert!(!all.contains(&form), "{form:?} in:\n{all}");
    }
    holds_nothing(&bench.home(), CANARY);
}

#[test]
fn secrets_of_several_lines_are_exact_and_masked() {
    let bench = Bench::with(
        "def workflow():\n    return Plan(name='k', steps=[Step.bash('a', 'cmp <(printf %s \"$KEY\") \"$HOME/key\"; echo \"$KEY\" | base64; echo \"$KEY\"; exit 1', secrets=['KEY'])])\n",
    );
    let body: String = (0..6).map(|n| format!("lineofkey{n}{}\n", "abcdefgh".repeat(6))).collect();
    let key = format!("-----BEGIN KEY-----\n{body}-----END KEY-----\n");
    let file = bench.home().join("key");
    std::fs::write(&file, &key).unwrap();
    bench.plue(&["secret", "set", "KEY", "--from-file", file.to_str().unwrap()]).ends(0);
    let output = bench.plue(&["run"]).ends(1);
    assert!(!output.stderr.contains("lineofkey"), "{}", output.stderr);
    let log = bench.plue(&["logs", "last", "a"]).ends(0).stdout;
    assert!(!log.contains("lineofkey") && !log.contains("bGluZW9ma2V5"), "{log}");
    assert!(!log.contains("differ"), "{log}");
    holds_nothing(&bench.state(), body.lines().next().unwrap());
}

#[test]
fn a_secret_that_cannot_be_one_is_refused() {
    let bench = Bench::new();
    bench.plue_reading(&["secret", "set", "token"], "x").ends(2).reports(&["upper-case"]);
    bench.plue_reading(&["secret", "set", "TOKEN"], "").ends(2).reports(&["empty"]);
    bench.plue_reading(&["secret", "set", "TOKEN"], "a\0b").ends(2).reports(&["NUL"]);
    bench
        .plue_reading(&["secret", "set", "TOKEN"], &"x".repeat(70_000))
        .ends(2)
        .reports(&["65536"]);
    bench.plue(&["secret", "set", "TOKEN", "value"]).ends(2);
    bench.plue(&["secret", "set", "TOKEN", "--from-file", "nowhere"]).ends(4);
}

#[test]
fn a_rotated_or_missing_key_is_noticed() {
    let bench = Bench::with(NEEDS);
    bench.write("expected", digest("text"));
    bench.plue_reading(&["secret", "set", "TOKEN"], "text").ends(0);
    let path = bench.home().join(".config/plue/secret.key");
    let before = std::fs::read_to_string(&path).unwrap();
    bench.plue(&["secret", "rotate"]).ends(0).reports(&["1 secrets are under the key"]);
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(before != after && after.lines().count() == 1);
    bench.plue(&["run"]).ends(0);
    // The old key opens nothing any more.
    let mut command = bench.command(&["run"]);
    let old = command.env("PLUE_SECRET_KEY", before.trim()).output().unwrap();
    assert_eq!(old.status.code(), Some(4));
    let mut command = bench.command(&["run"]);
    let both = command.env("PLUE_SECRET_KEY", format!("{},{}", before.trim(), after.trim()));
    assert_eq!(both.output().unwrap().status.code(), Some(0));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    bench.plue(&["run"]).ends(4).reports(&["PLUE-C0010", "chmod 600"]);
    std::fs::remove_file(&path).unwrap();
    bench.plue(&["run"]).ends(4).reports(&["PLUE-C0010", "secret.key"]);
}

const CARRIED: &str = r#"
def workflow():
    return Plan(name="Carried", steps=[
        Step.bash("first", "echo $TOKEN > left", secrets=["TOKEN"]),
        Step.bash("second", "cat left; base64 < left; cat left > $PLUE_OUTPUT.x; "
                  "echo \"value=$(cat left)\" > $PLUE_OUTPUT", depends_on=["first"]),
        Step.bash("third", "echo got \"$SEEN\"; exit 3", depends_on=["second"],
                  env={"SEEN": ref("second", "value")}),
    ])
"#;

#[test]
fn secrets_left_by_steps_are_masked_later() {
    let text = "swordfish-carried-81";
    let bench = Bench::with(CARRIED);
    bench.plue_reading(&["secret", "set", "TOKEN"], text).ends(0);
    bench.plue(&["run"]).ends(1);
    // Another process, and another runner.
    bench.plue(&["retry", "last", "--from", "second"]).ends(1);
    for args in [
        &["logs", "last", "second"][..],
        &["logs", "last", "third"],
        &["status", "last", "--output", "json"],
        &["explain", "last"],
    ] {
        let output = bench.plue(args).ends(0);
        assert!(!output.stdout.contains(text), "{args:?}: {}", output.stdout);
    }
    bench.plue(&["logs", "last", "second"]).ends(0).shows(&["***"]);
}
