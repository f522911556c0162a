//! `plue doctor` on machines that lack something.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
};

use crate::support::{Bench, CliOutput};

#[test]
fn doctor_lists_each_part_with_its_check() {
    let bench = Bench::new();
    let json = bench.plue(&["doctor", "--output", "json"]).json();
    let checks = json["checks"].as_array().unwrap().clone();
    let find = |what: &str| checks.iter().find(|check| check["what"] == what).unwrap().clone();
    for what in ["state directory", "database", "git", "bash", "plue-evaluator"] {
        assert_eq!(find(what)["level"], "ok", "{}", find(what));
        assert_ne!(find(what)["how"], "");
    }
    assert!(checks.iter().any(|check| check["what"].as_str().unwrap().starts_with("jail: ")));
}

#[test]
fn doctor_names_missing_parts_without_bubblewrap() {
    let bench = Bench::new();
    let plue = bench.command(&["doctor", "--output", "json"]);
    // Programs are searched in the system's folders, not in PATH, so bubblewrap is covered there.
    let script = "for name in /usr/bin/bwrap /bin/bwrap /usr/local/bin/bwrap; do \
                  test ! -e \"$name\" || mount --bind /dev/null \"$name\" || exit 77; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(plue.get_program()).args(plue.get_args()).current_dir(bench.repo());
    command.envs(plue.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = CliOutput::of(command.output().unwrap());
    if output.code == 77 || output.stdout.is_empty() {
        eprintln!("NOT PROVEN: nothing can be mounted on this machine: {}", output.stderr);
        return;
    }
    let json = output.json();
    let checks = json["checks"].as_array().unwrap();
    for pool in ["pool: local", "pool: untrusted"] {
        let check = checks.iter().find(|check| check["what"] == pool).unwrap();
        assert_eq!(check["level"], "warn", "{check}");
        let found = check["found"].as_str().unwrap();
        assert!(found.contains("bubblewrap is not installed"), "{check}");
        assert!(found.contains("apt-get install bubblewrap"), "{check}");
        assert_ne!(check["fix"], "", "{check}");
    }
    assert_ne!(output.code, 2, "{}", output.stderr);
}

#[test]
fn doctor_fails_if_required_parts_are_missing() {
    let bench = Bench::new();
    let mut command = bench.command(&["doctor"]);
    command.env("PLUE_EVALUATOR_BINARY", "/nowhere/plue-evaluator");
    let output = CliOutput::of(command.output().unwrap()).ends(5);
    output.shows(&["fail  plue-evaluator", "→"]);
    let mut command = bench.command(&["plan"]);
    bench.write(".plue.py", crate::support::SMALL);
    command.env("PLUE_EVALUATOR_BINARY", "/nowhere/plue-evaluator");
    CliOutput::of(command.output().unwrap()).ends(5).reports(&["plue doctor"]);
}

#[test]
fn doctor_checks_keys_without_showing_them() {
    let bench = Bench::new();
    assert!(!bench.plue(&["doctor"]).stdout.contains("Claude key"), "no key, no check");
    for (answer, shown) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "ok    Claude key"),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}", "warn  Claude key"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let api = std::thread::scope(|scope| {
            let api = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = String::new();
                for line in BufReader::new(&stream).lines().map(Result::unwrap) {
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&line.to_ascii_lowercase());
                    head.push('\n');
                }
                stream.write_all(answer.as_bytes()).unwrap();
                head
            });
            let mut command = bench.command(&["doctor"]);
            command.env("ANTHROPIC_API_KEY", "sk-canary").env("ANTHROPIC_BASE_URL", &address);
            let output = CliOutput::of(command.output().unwrap());
            assert!(output.stdout.contains(shown), "{}", output.stdout);
            assert!(!format!("{}{}", output.stdout, output.stderr).contains("canary"));
            api.join().unwrap()
        });
        assert!(api.contains("x-api-key: sk-canary\n"), "{api}");
    }
}
