//! Configuration layers and the state directory.

use std::process::Command;

use crate::support::{Bench, CliOutput, SMALL, snapshot};

/// The value and source that `config show --origin` prints for a key, with these variables and flags.
fn shown(bench: &Bench, key: &str, variables: &[(&str, &str)], flags: &[&str]) -> (String, String) {
    let mut command = bench.command(&["config", "show", "--origin", "--output", "json"]);
    command.envs(variables.iter().copied()).args(flags);
    let document = CliOutput::of(command.output().unwrap()).ends(0).json();
    let records = document["config"].as_array().unwrap().clone();
    let record = records.into_iter().find(|record| record["key"] == key).unwrap();
    let value = match &record["value"] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (value, record["origin"].as_str().unwrap().to_owned())
}

#[test]
fn row_4_09_directories_are_those_of_the_xdg_specification() {
    let bench = Bench::new();
    let home = bench.home();
    let usual = home.join(".local/state/plue").display().to_string();
    for (variables, flags, directory) in [
        ([].as_slice(), [].as_slice(), usual.as_str()),
        (&[("XDG_STATE_HOME", "/var/x")], &[], "/var/x/plue"),
        // A relative path is to be ignored.
        (&[("XDG_STATE_HOME", "x")], &[], &usual),
        (&[("PLUE_STATE_DIR", "/s")], &[], "/s"),
        (&[("PLUE_STATE_DIR", "/s")], &["--state-dir", "/f"], "/f"),
    ] {
        assert_eq!(shown(&bench, "state_dir", variables, flags).0, directory, "{variables:?}");
    }
    let config = home.join("conf/plue/config.toml");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, "state_dir = \"/c\"\n").unwrap();
    let conf = home.join("conf");
    let found = shown(&bench, "state_dir", &[("XDG_CONFIG_HOME", conf.to_str().unwrap())], &[]);
    assert_eq!(found, ("/c".to_owned(), config.display().to_string()));
}

#[test]
fn row_4_16_higher_layers_win_and_are_named() {
    let bench = Bench::new();
    let user = bench.home().join(".config/plue/config.toml");
    let shown = |variables, flags| shown(&bench, "max_parallel", variables, flags);
    let from =
        |value: &str, origin: &std::path::Path| (value.to_owned(), origin.display().to_string());
    assert_eq!(shown(&[], &[]).1, "default");
    std::fs::create_dir_all(user.parent().unwrap()).unwrap();
    std::fs::write(&user, "max_parallel = 2\n").unwrap();
    assert_eq!(shown(&[], &[]), from("2", &user));
    bench.write("plue.toml", "max_parallel = 3\n");
    let repo = bench.repo().canonicalize().unwrap().join("plue.toml");
    assert_eq!(shown(&[], &[]), from("3", &repo));
    let variable = "$PLUE_MAX_PARALLEL".as_ref();
    assert_eq!(shown(&[("PLUE_MAX_PARALLEL", "4")], &[]), from("4", variable));
}

#[test]
fn row_4_16_a_flag_wins_over_everything() {
    let bench = Bench::new();
    let found = shown(&bench, "color", &[("PLUE_COLOR", "always")], &["--color", "never"]);
    assert_eq!(found, ("never".to_owned(), "--color".to_owned()));
}

#[test]
fn wrong_keys_and_keys_repositories_cannot_set_fail() {
    let bench = Bench::new();
    bench.write("plue.toml", "max_paralel = 3\n");
    let output = bench.plue(&["runs"]).ends(2);
    output.reports(&["PLUE-C0004", "plue.toml:1:1", "did you mean `max_parallel`?"]);
    bench.write("plue.toml", "state_dir = \"/tmp/x\"\n");
    bench.plue(&["runs"]).ends(2).reports(&["cannot be set by a repository"]);
}

#[test]
fn row_4_01_runs_need_only_an_empty_home() {
    let bench = Bench::with(SMALL);
    bench.plue(&["run"]).ends(0).reports(&["hello", "success"]);
    bench.plue(&["status"]).ends(0).shows(&["Small", "success", "✓", "hello"]);
    assert!(bench.state().join("plue.db").exists());
}

#[test]
fn row_4_20_nothing_outside_the_state_directory_is_written() {
    let bench = Bench::with(SMALL);
    let (repo, home) = (snapshot(&bench.repo()), snapshot(&bench.home()));
    for args in [
        ["list"].as_slice(),
        &["plan"],
        &["validate"],
        &["runs"],
        &["doctor"],
        &["config", "show"],
        &["plan", "--diff", "HEAD"],
    ] {
        bench.plue(args).ends(0);
        assert_eq!(snapshot(&bench.home()), home, "{args:?} wrote into the home");
    }
    for args in [["run"].as_slice(), &["status"], &["logs", "last"], &["explain"]] {
        bench.plue(args).ends(0);
    }
    assert_eq!(snapshot(&bench.repo()), repo);
    let state = bench.state();
    let outside = snapshot(&bench.home()).into_iter().find(|(path, _)| !path.starts_with(&state));
    assert_eq!(outside, None);
}

/// The same, seen from the kernel: every file opened to be written, by plue and all its children.
#[test]
fn row_4_20_a_run_opens_no_other_file_to_write() {
    let bench = Bench::with(SMALL);
    let trace = bench.home().join("trace");
    let plue = bench.command(&["run"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=open,openat,creat", "-o"]).arg(&trace);
    strace.arg(plue.get_program()).args(plue.get_args()).current_dir(bench.repo());
    for (name, value) in plue.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    // Not every machine has strace, or lets it trace; the snapshot above holds everywhere.
    let probe = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return;
    }
    CliOutput::of(strace.output().unwrap()).ends(0);
    let state = format!("\"{}", bench.state().display());
    let text = std::fs::read_to_string(&trace).unwrap();
    let writes = text.lines().filter(|line| {
        ["O_WRONLY", "O_RDWR", "O_CREAT", "creat("].iter().any(|flag| line.contains(flag))
    });
    let allowed = ["\"/dev/", "\"/proc/", "\"/memfd:"];
    let strange = writes
        .filter(|line| !line.contains(&state) && !allowed.iter().any(|place| line.contains(place)));
    let strange: Vec<_> = strange.filter(|line| !line.contains("= -1 ")).collect();
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

#[test]
fn unusable_state_directories_exit_with_5_and_advice() {
    let bench = Bench::with(SMALL);
    bench.write("file", "");
    let blocked = bench.repo().join("file/state");
    let output = bench.plue(&["--state-dir", blocked.to_str().unwrap(), "run"]).ends(5);
    output.reports(&["PLUE-C0003", "state directory", "--state-dir"]);
}

#[test]
fn files_other_than_databases_stay_unchanged() {
    let bench = Bench::with(SMALL);
    std::fs::create_dir_all(bench.state()).unwrap();
    std::fs::write(bench.state().join("plue.db"), "this is a diary, not a database").unwrap();
    for args in [["run"].as_slice(), &["runs"], &["status"]] {
        bench.plue(args).ends(5).reports(&["error[PLUE-D"]);
    }
    let kept = std::fs::read_to_string(bench.state().join("plue.db")).unwrap();
    assert_eq!(kept, "this is a diary, not a database");
}

#[test]
fn concurrent_runs_share_a_state_directory() {
    let bench = Bench::with(&SMALL.replace("echo hello", "seq 500"));
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = bench.command(&["run"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        CliOutput::of(child.wait_with_output().unwrap()).ends(0);
    }
    let json = bench.plue(&["runs", "--status", "success", "--output", "json"]).ends(0).json();
    let runs = json["runs"].as_array().unwrap().clone();
    assert_eq!(runs.len(), 4);
    for run in runs {
        let log = bench.plue(&["logs", run["id"].as_str().unwrap(), "hello"]).ends(0).stdout;
        assert_eq!(log.lines().count(), 500);
    }
}

#[test]
fn runs_leave_the_repository_unchanged() {
    let bench = Bench::with(SMALL);
    let other = Bench::new();
    let repo = bench.repo();
    other.plue(&["run", "--repo", repo.to_str().unwrap()]).ends(0);
    let status = Command::new("git").args(["status", "--porcelain"]).current_dir(&repo).output();
    assert_eq!(String::from_utf8_lossy(&status.unwrap().stdout), "");
}

#[test]
fn databases_of_newer_versions_are_refused_unchanged() {
    let bench = Bench::with(SMALL);
    bench.plue(&["run"]).ends(0);
    let file = bench.state().join("plue.db");
    let script = "import sqlite3, sys\nwith sqlite3.connect(sys.argv[1]) as db:\n    db.execute(\"INSERT INTO plue_schema VALUES (99, 'later', 0)\")\n";
    let made = Command::new("python3").args(["-c", script]).arg(&file).status();
    assert!(made.unwrap().success());
    for args in [["run"].as_slice(), &["runs"], &["status"], &["logs", "last"]] {
        bench.plue(args).ends(5).reports(&["version 99", "newer plue"]);
    }
    bench.plue(&["doctor"]).ends(5).shows(&["fail  database", "version 99"]);
}
