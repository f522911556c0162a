//! Secrets given on the command line are never stored, so that a recovered run has none; and no
//! form of a secret is on a disk, also when all processes died in the middle of printing it.

use std::path::{Path, PathBuf};

use plue_flow::RunStatus;

use crate::bench::{Bench, Ended, kill, until};

const SOURCE: &str = r#"
def workflow():
    gate = "echo x >> ran; touch up; until test -e go; do sleep 0.01; done; test -n \"$TOKEN\""
    return Plan(name="Secret", on_failure="continue", steps=[
        Step.bash("has", gate, secrets=["TOKEN"]),
        Step.bash("wants", "echo x >> ran.wants", secrets=["TOKEN"], depends_on=["has"]),
    ])
"#;

#[tokio::test]
async fn started_steps_keep_unstored_secrets_later_ones_fail() {
    let bench = Bench::new(SOURCE);
    let mut command = bench.command(&["run", "--secret", "TOKEN"]);
    command.env("TOKEN", "s3cret-value");
    let mut engine = command.spawn().unwrap();
    bench.appears("up").await;
    kill(&mut engine);
    bench.touch("go");
    bench.plue(&["resume"]).ends(1);
    let run = bench.run().await;
    assert_eq!(bench.status(&run).await, RunStatus::Failed);
    assert_eq!((bench.lines("ran"), bench.lines("ran.wants")), (1, 0));
    let status = bench.plue(&["status", run.as_str()]).ends(0).stdout;
    assert!(status.contains("the secret `TOKEN` was not given to this run"), "{status}");
    bench.nothing_is_left().await;
}

/// Two lines, with what shells, URLs and JSON spell differently.
const CANARY: &str = "c4n4ry-0f-th3/h0us3 & \"m0re\"+pad\ns3c0nd-l1ne-0f-th3-c4n4ry=%'x'";
/// Public output of the same step: a search that finds this would find the canary too.
const CONTROL: &str = "pl41n-w0rds-f0r-c0ntr0l";

/// Prints its secret in every form, half of it before a kill and the rest after; and passes it on.
const SHOUTS: &str = r#"
import base64, json, os, sys, time, urllib.parse
text = os.environ["TOKEN"]
def shout():
    raw = text.encode()
    print("control", "-".join(["pl41n", "w0rds", "f0r", "c0ntr0l"]), len(text))
    print(text)
    print(base64.b64encode(raw).decode(), base64.urlsafe_b64encode(b"user:" + raw).decode())
    print(urllib.parse.quote(text), urllib.parse.quote_plus(text), json.dumps(text), raw.hex())
    for line in text.splitlines():
        print(line, base64.b64encode(line.encode()).decode(), urllib.parse.quote(line, ""), file=sys.stderr, flush=True)
shout()
sys.stdout.write(text[:20])
sys.stdout.flush()
open("up." + os.environ["PLUE_ATTEMPT"], "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
sys.stdout.write(text[20:] + "\n")
shout()
with open(os.environ["PLUE_OUTPUT"], "w") as file:
    json.dump({"leak": text, "url": urllib.parse.quote(text)}, file)
"#;

fn shouting() -> String {
    let code = serde_json::to_string(SHOUTS).unwrap();
    format!(
        "def workflow():\n    keep = Retry(max_attempts=5, delay='0s', on=['infra'])\n    return Plan(name='Shouts', steps=[\n\
         \x20       Step.python('shout', {code}, secrets=['TOKEN'], retry=keep),\n\
         \x20       Step.bash('next', 'echo \"$GOT\"; exit 1', env={{'GOT': ref('shout', 'leak')}}, depends_on=['shout']),\n    ])\n"
    )
}

/// The forms that no file may hold: the whole, each line, and each of those as base64 (whatever stands
/// before it), URL-encoded and in hexadecimal.
fn forms() -> Vec<String> {
    let mut forms = Vec::new();
    for text in CANARY.lines().chain([CANARY]) {
        forms.push(text.to_owned());
        forms.push(text[..16].to_owned());
        forms.push(hex::encode(&text[..20]));
        for shift in 0..3 {
            // Three bytes are four characters; the first and the last few depend on what is around.
            let encoded = base64(&[vec![b' '; shift], text.as_bytes().to_vec()].concat());
            forms.push(encoded[4..24].to_owned());
            forms.push(encoded[4..24].replace('+', "-").replace('/', "_"));
        }
    }
    let urls = ["h0us3%20%26%20%22m0re", "h0us3+%26+%22m0re", "c4n4ry%3D%25%27x"];
    forms.extend(urls.map(str::to_owned));
    forms
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let signs = bytes.chunks_exact(3).flat_map(|three| {
        let number = three.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(SIGNS[number >> shift & 63]))
    });
    signs.collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Whether any file below holds the text.
fn is_anywhere(folder: &Path, text: &str) -> Option<PathBuf> {
    files(folder).into_iter().find(|path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[track_caller]
fn nothing_is_kept(folder: &Path, when: &str) {
    for form in forms() {
        let found = is_anywhere(folder, &form);
        assert!(found.is_none(), "{when}: {form:?} is in {found:?}");
    }
}

#[tokio::test]
async fn row_2_18_crashes_leave_no_secret_on_disk() {
    let bench = Bench::new(&shouting());
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), CANARY).unwrap();
    let file = secret.path().to_str().unwrap();
    bench.plue(&["secret", "set", "TOKEN", "--from-file", file]).ends(0);
    let mut engine = bench.start(&["run"]);
    bench.appears("up.1").await;
    until(|| is_anywhere(&bench.state(), CONTROL).is_some()).await;
    bench.kill_all().await;
    engine.wait().unwrap();
    nothing_is_kept(&bench.home(), "after everything died");
    // The step is retried with its secret, which is in the store, sealed. After the engine's death its
    // output
    // goes to the runner's disk.
    let mut engine = bench.start(&["resume"]);
    bench.appears("up.2").await;
    kill(&mut engine);
    bench.touch("go");
    until(|| is_anywhere(&bench.state().join("runners"), CONTROL).is_some()).await;
    nothing_is_kept(&bench.home(), "while the runner keeps what nobody takes");
    bench.kill_runners().await;
    bench.plue(&["resume"]).ends(1);
    let run = bench.run().await;
    assert_eq!(bench.status(&run).await, RunStatus::Failed);
    assert_eq!(bench.attempt(&run, "shout").await.number, 2);
    bench.nothing_is_left().await;
    nothing_is_kept(&bench.home(), "after the end");

    // Packed content is searched unpacked: by every command that shows it, and from an exported file.
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("run.plue");
    bench.plue(&["export", run.as_str(), exported.to_str().unwrap()]).ends(0);
    let unpacked = zstd::decode_all(std::fs::File::open(&exported).unwrap()).unwrap();
    std::fs::write(folder.path().join("unpacked"), unpacked).unwrap();
    assert!(is_anywhere(folder.path(), "attempt_ended").is_some());
    let id = run.as_str();
    let attempts = [
        &["logs", id][..],
        &["logs", id, "shout", "--attempt", "1"],
        &["logs", id, "shout", "--attempt", "2"],
        &["logs", id, "next"],
        &["status", id, "--output", "json"],
        &["explain", id, "--output", "json"],
        &["plan", "--output", "json"],
    ];
    for (at, args) in attempts.into_iter().enumerate() {
        let Ended { stdout, stderr, .. } = bench.plue(args).ends(0);
        if args[0] == "logs" || args[0] == "status" {
            assert!(stdout.contains("***"), "{args:?}: {stdout}");
        }
        std::fs::write(folder.path().join(format!("said{at}")), stdout + &stderr).unwrap();
    }
    assert!(is_anywhere(folder.path(), CONTROL).is_some());
    nothing_is_kept(folder.path(), "in what is shown or exported");
}
