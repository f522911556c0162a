//! Machines of one's own as runners: real programs, a real WebSocket, steps of served runs.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value as Json, json};

use crate::serve::Served;

/// Bytes that the step of `streams` prints.
const LINES: usize = 20_000;

fn workflow(steps: &str) -> String {
    format!(
        r#"
def workflow():
    return Plan(name="CI", runner="gpu", triggers=[Trigger.on_push(branch="main")], steps=[{steps}])
"#
    )
}

/// A registered runner of this machine.
struct OwnRunner {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl OwnRunner {
    /// Registers at an address of the server, and starts.
    fn register(served: &Served, address: &str, label: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = token(served, label);
        let output = Self::program()
            .args(["register", "--server", &format!("http://{address}"), "--token", &made])
            .args(["--name", "ada", "--label", "own"])
            .arg("--config")
            .arg(folder.path().join("runner.json"))
            .arg("--state")
            .arg(folder.path().join("state"))
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains("the labels gpu, own") || label != "gpu", "{printed}");
        let mut runner = Self { folder, child: None };
        runner.start();
        runner
    }

    fn program() -> Command {
        let folder = Path::new(env!("CARGO_BIN_EXE_plue")).parent().unwrap();
        Command::new(folder.join("plue-runner"))
    }

    fn start(&mut self) {
        let mut command = Self::program();
        command.arg("run").arg("--config").arg(self.folder.path().join("runner.json"));
        // A group of its own: its steps end with it in `kill`.
        let child = command.stdin(Stdio::null()).process_group(0).spawn().unwrap();
        self.child = Some(child);
    }

    /// As `kill -9` of the runner alone.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("state/work")
    }
}

impl Drop for OwnRunner {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

fn token(served: &Served, label: &str) -> String {
    let request = json!({"labels": [label]});
    let (status, body) = served.ask("POST", "/api/v1/executors/tokens", Some(&request));
    assert_eq!(status, 201, "{body}");
    let made: Json = serde_json::from_str(&body).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// The first runner once it is in this state.
fn runner_in(served: &Served, state: &str) -> Json {
    loop {
        let runners = served.get("/api/v1/runners");
        let runners = runners.as_array().unwrap();
        let found =
            runners.iter().find(|one| one["executor"] == state && one["kind"] == "registered");
        if let Some(found) = found {
            return found.clone();
        }
    }
}

fn pushed(served: &Served, steps: &str) {
    served.bench.write(".plue.py", workflow(steps));
    served.bench.write("src/app.txt", "from the engine\n");
    served.push();
}

/// Waits until a file exists.
fn appears(path: &Path) {
    while !path.exists() {
        std::thread::yield_now();
    }
}

#[test]
fn runs_work_on_registered_machines() {
    let served = Served::start();
    let runner = OwnRunner::register(&served, &served.address, "gpu");
    let idle = runner_in(&served, "idle");
    assert_eq!((&idle["name"], &idle["labels"]), (&json!("ada"), &json!(["gpu", "own"])));
    pushed(
        &served,
        r#"
        Step.bash("read", 'cat src/app.txt; git log --oneline | wc -l; pwd; echo "$TOKEN"; echo "n=1" > "$PLUE_OUTPUT"',
                  secrets=["TOKEN"]),
        Step.bash("write", 'mkdir -p out; echo made > out/file; echo "$N"', depends_on=["read"],
                  env={"N": ref("read", "n")}, artifacts=["out/*"],
                  cache=Cache(key="k", paths=["kept"])),
        Step.bash("serve", 'exec 3<>/dev/tcp/127.0.0.1/$PORT; head -c 2 <&3', depends_on=["write"],
                  runner="own", env={"PORT": "47113"},
                  services=[Service("exec python3 -c 'import socket; s=socket.create_server((\"127.0.0.1\", 47113)); [c.sendall(b\"hi\") for c in iter(lambda: s.accept()[0], None)]'", port=47113)])
        "#,
    );
    let run = served.run(1);
    assert_eq!(run["status"], "success", "{run} {}", served.log_of(&run, "read"));
    let log = served.log_of(&run, "read");
    let work = runner.work().canonicalize().unwrap();
    assert_eq!(log, format!("from the engine\n1\n{}\n***\n", work.display()));
    assert_eq!(served.log_of(&run, "write"), "1\n");
    assert!(served.log_of(&run, "serve").ends_with("hi"));
    let id = run["id"].as_str().unwrap();
    let artifacts = served.get(&format!("/api/v1/runs/{id}/artifacts"));
    assert!(artifacts.to_string().contains("out/file"), "{artifacts}");
    // Free again, and nothing of the run is left on it.
    runner_in(&served, "idle");
    while std::fs::read_dir(runner.work()).is_ok_and(|mut left| left.next().is_some()) {
        std::thread::yield_now();
    }
    served.bench.write("src/app.txt", "second\n");
    served.push();
    let second = served.run(2);
    assert!(served.log_of(&second, "read").starts_with("second\n2\n"), "{second}");
}

#[test]
fn runs_wait_for_a_runner_visibly() {
    let served = Served::start();
    pushed(&served, r#"Step.bash("read", "cat src/app.txt")"#);
    let waiting = loop {
        let runs = served.get("/api/v1/runs");
        let Some(id) = runs["items"][0]["id"].as_str() else { continue };
        let explained = served.get(&format!("/api/v1/runs/{id}/explanation")).to_string();
        if explained.contains("no runner") {
            break explained;
        }
    };
    assert!(waiting.contains("no runner with the label `gpu` is free"), "{waiting}");
    let _other = OwnRunner::register(&served, &served.address, "fpga");
    let _ours = OwnRunner::register(&served, &served.address, "gpu");
    let run = served.run(1);
    assert_eq!(served.log_of(&run, "read"), "from the engine\n");
}

#[test]
fn tokens_register_one_runner() {
    let served = Served::start();
    let made = token(&served, "gpu");
    let request = json!({"token": made, "name": "ada"});
    let ask = |request: &Json| served.ask("POST", "/api/v1/executors/register", Some(request));
    let (status, body) = ask(&request);
    assert_eq!(status, 201, "{body}");
    let registered: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(registered["state"], "registered");
    let (status, body) = ask(&request);
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("plue runner token"), "{body}");
    let id = registered["id"].as_str().unwrap();
    runner_in(&served, "registered");
    let path = format!("/api/v1/executors/{id}");
    let drain = json!({"draining": true});
    assert_eq!(served.ask("POST", &format!("{path}/drain"), Some(&drain)).0, 204);
    assert_eq!(runner_in(&served, "registered")["draining"], true);
    assert_eq!(served.ask("DELETE", &path, None).0, 204);
    assert_eq!(served.ask("DELETE", &path, None).0, 404, "removed once");
    let local = json!({"pool": "local"});
    assert_eq!(served.ask("POST", "/api/v1/executors/tokens", Some(&local)).0, 400);
}

#[test]
fn removed_runners_are_sent_away() {
    let served = Served::start();
    let mut runner = OwnRunner::register(&served, &served.address, "gpu");
    let idle = runner_in(&served, "idle");
    let path = format!("/api/v1/executors/{}", idle["id"].as_str().unwrap());
    assert_eq!(served.ask("DELETE", &path, None).0, 204);
    let status = runner.child.take().unwrap().wait().unwrap();
    assert_eq!(status.code(), Some(4), "sent away for good");
}

#[test]
fn cancelled_steps_end_on_their_machine() {
    let served = Served::start();
    let runner = OwnRunner::register(&served, &served.address, "gpu");
    pushed(&served, r#"Step.bash("sleep", "touch started; exec sleep 1000")"#);
    appears(&runner.work().join("started"));
    let id = served.get("/api/v1/runs")["items"][0]["id"].as_str().unwrap().to_owned();
    let (status, body) = served.ask("POST", &format!("/api/v1/runs/{id}/cancel"), Some(&json!({})));
    assert!((200..300).contains(&status), "{body}");
    assert_eq!(served.run(1)["status"], "cancelled");
    runner_in(&served, "idle");
}

/// A step that prints many numbered lines, and notes each of its starts.
fn streams(starts: &Path) -> String {
    let starts = starts.display();
    format!(
        r#"Step.bash("print", "echo start >> {starts}; for n in $(seq {LINES}); do echo line $n; [ $((n % 500)) = 0 ] && sleep 0.05; done; true")"#
    )
}

fn all_lines() -> String {
    (1..=LINES).map(|n| format!("line {n}\n")).collect()
}

#[test]
fn killed_engines_lose_no_line() {
    let mut served = Served::start();
    let runner = OwnRunner::register(&served, &served.address, "gpu");
    let starts = runner.folder.path().join("starts");
    pushed(&served, &streams(&starts));
    appears(&starts);
    for _ in 0..2 {
        served.server.kill().unwrap();
        served.server.wait().unwrap();
        served.serve();
        runner_in(&served, "running");
    }
    let run = served.run(1);
    assert_eq!(run["status"], "success", "{run}");
    assert!(served.log_of(&run, "print") == all_lines(), "the log differs");
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "start\n", "executed once");
}

#[test]
fn broken_connections_lose_no_line() {
    let served = Served::start();
    let proxy = Cutter::start(served.address.clone());
    let runner = OwnRunner::register(&served, &proxy.address, "gpu");
    let starts = runner.folder.path().join("starts");
    runner_in(&served, "idle");
    proxy.cuts.store(true, Ordering::SeqCst);
    pushed(&served, &streams(&starts));
    let run = served.run(1);
    assert_eq!(run["status"], "success", "{run}");
    assert!(served.log_of(&run, "print") == all_lines(), "the log differs");
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "start\n", "executed once");
    assert!(proxy.cut.load(Ordering::SeqCst) > 0, "a connection was cut");
}

#[test]
fn killed_runners_report_their_steps_as_lost() {
    let served = Served::start();
    let mut runner = OwnRunner::register(&served, &served.address, "gpu");
    pushed(
        &served,
        r#"Step.bash("once", "if [ -e again ]; then echo second; else touch again; exec sleep 1000; fi", retry=Retry(max_attempts=2, delay="0s", on=["infra"]))"#,
    );
    appears(&runner.work().join("again"));
    runner.kill();
    runner.start();
    let run = served.run(1);
    assert_eq!(run["status"], "success", "{run}");
}

/// Forwards connections, and cuts each after a growing number of bytes of the client.
struct Cutter {
    address: String,
    cuts: Arc<AtomicBool>,
    cut: Arc<AtomicU64>,
}

impl Cutter {
    fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cuts, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (enabled, count) = (Arc::clone(&cuts), Arc::clone(&cut));
        thread(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                let (enabled, count) = (Arc::clone(&enabled), Arc::clone(&count));
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread(move || forward(back.0, back.1, || usize::MAX));
                thread(move || {
                    let mut forwarded = 0;
                    forward(client, server, || {
                        if !enabled.load(Ordering::SeqCst) {
                            return usize::MAX;
                        }
                        let done = count.load(Ordering::SeqCst);
                        // 700, 1,700, … 20,000 bytes, and then uncut: every run ends.
                        let most = if done < 20 { 700 + 1_000 * done } else { u64::MAX };
                        forwarded += 1;
                        if forwarded == 1 && most < u64::MAX {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        usize::try_from(most).unwrap()
                    });
                });
            }
        });
        Self { address, cuts, cut }
    }
}

#[expect(clippy::disallowed_methods, reason = "a proxy of a test, without a runtime")]
fn thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

/// Copies until `most` bytes were copied since it was asked first, then shuts both sides down.
fn forward(mut from: TcpStream, mut to: TcpStream, mut most: impl FnMut() -> usize) {
    let _patience = from.set_read_timeout(Some(Duration::from_secs(60)));
    let (mut buffer, mut copied) = ([0; 4_096], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let left = most().saturating_sub(copied);
        let part = read.min(left);
        if to.write_all(&buffer[..part]).is_err() || part < read {
            break;
        }
        copied += part;
    }
    let _gone = from.shutdown(std::net::Shutdown::Both);
    let _gone = to.shutdown(std::net::Shutdown::Both);
}
