//! Isolation of own commits on a server: attempts of their steps against it, and permitted access.
//!
//! Tests that need bubblewrap print `NOT PROVEN` and pass on machines where it does not work.

use std::{
    net::TcpListener,
    os::{linux::net::SocketAddrExt as _, unix::fs::PermissionsExt as _},
    path::Path,
};

use serde_json::Value as Json;

use crate::{serve::Served, support::Bench};

/// Marker that no step of an own commit may read.
const HIDDEN: &str = "hidden-from-own-steps-9e107d9d";

/// Whether this machine can isolate steps of own commits; prints `NOT PROVEN` if not.
pub(crate) fn own_isolation(bench: &Bench) -> bool {
    let doctor = bench.plue(&["doctor", "--output", "json"]).json();
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["what"] == "pool: local").unwrap();
    if check["level"] != "ok" {
        eprintln!("NOT PROVEN: {}", check["found"]);
    }
    check["level"] == "ok"
}

/// A workflow of one step.
pub(crate) fn workflow(run: &str) -> String {
    let run = run.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "def workflow():\n    return Plan(name=\"CI\", triggers=[Trigger.on_push()], \
         steps=[Step.bash(\"test\", \"\"\"{run}\"\"\")])\n"
    )
}

/// Commands of which each must fail.
fn refused(tries: &str) -> String {
    let tries = tries.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = tries.map(|line| {
        let quoted = line.replace('\'', r"'\''");
        format!("if ( {line} ) >/dev/null 2>&1; then echo 'LEAK: {quoted}'; fi\n")
    });
    format!("set +e +u +o pipefail\n{}echo tried\n", lines.collect::<String>())
}

/// The run of a push, and the log of its step.
fn pushed(served: &Served, source: &str) -> (Json, String) {
    served.bench.write(".plue.py", source);
    served.push();
    let run = served.run(1);
    let log = served.log_of(&run, "test");
    (run, log)
}

#[test]
fn own_steps_reach_nothing_of_the_server() {
    let served = Served::in_environment(&[("AWS_SECRET_ACCESS_KEY", HIDDEN)]);
    if !own_isolation(&served.bench) {
        return;
    }
    let name = format!("plue-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let (state, home) = (served.bench.state(), served.bench.home());
    std::fs::create_dir_all(state.join("workspaces/other")).unwrap();
    std::fs::write(state.join("workspaces/other/file"), HIDDEN).unwrap();
    let (state, home, pid) = (state.display(), home.display(), served.server.id());
    let tries = format!(
        "cat {state}/plue.db
         cat {state}/workspaces/other/file
         cat {state}/runners/*/token
         cat {home}/.config/plue/secret.key
         ls {home}/app.git
         cat /proc/{pid}/environ
         head -c1 /proc/{pid}/mem
         kill -0 {pid}
         cat /proc/$PPID/environ
         ls /proc/$PPID/fd/
         grep -sal {HIDDEN} /proc/[0-9]*/environ
         env | grep -E 'AWS|PLUE_SECRET|PLUE_TOKEN|PLUE_DATABASE'
         grep -r {HIDDEN} /run /etc /home /dev/shm
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + \"{name}\")'
         python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'
         unshare -U true
         touch /usr/x
         ls /var/lib"
    );
    let (run, log) = pushed(&served, &workflow(&refused(&tries)));
    assert_eq!((log.as_str(), &run["status"]), ("tried\n", &Json::from("success")));
}

#[test]
fn own_steps_have_a_network_and_a_home() {
    let served = Served::in_environment(&[("PLUE_RUNNER_ENV", "GREETING"), ("GREETING", "hello")]);
    if !own_isolation(&served.bench) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    let shown = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{number}\n\
         git config --global user.name Ada\n\
         echo \"$(id -un) $HOME $(cat $HOME/.gitconfig | wc -l) $GREETING\"\n\
         test -w /tmp && test -w /var/tmp && test -w \"$PLUE_WORKSPACE\" && echo writable\n"
    );
    let (run, log) = pushed(&served, &workflow(&shown));
    let expected = "plue /home/plue 2 hello\nwritable\n";
    assert_eq!((log.as_str(), &run["status"]), (expected, &Json::from("success")));
}

#[test]
fn what_the_operator_shows_is_shared_between_runs() {
    let folder = tempfile::tempdir().unwrap();
    let [cache, home] = ["cache", "home"].map(|name| folder.path().join(name));
    std::fs::create_dir(&cache).unwrap();
    // As root, the steps are another user.
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).unwrap();
    let [cache, home] = [cache, home].map(|path| path.to_str().unwrap().to_owned());
    let served =
        Served::in_environment(&[("PLUE_LOCAL_WRITE", &cache), ("PLUE_LOCAL_HOME", &home)]);
    if !own_isolation(&served.bench) {
        return;
    }
    let step = format!(
        "cat {cache}/x ~/x 2>/dev/null || true; echo $HOME; echo was here | tee {cache}/x ~/x"
    );
    let (_, log) = pushed(&served, &workflow(&step));
    assert_eq!(log, format!("{home}\nwas here\n"));
    served.bench.write("more.txt", "");
    served.push();
    let run = served.run(2);
    assert_eq!(served.log_of(&run, "test"), format!("was here\nwas here\n{home}\nwas here\n"));
}

/// A runner that cannot be isolated.
fn open_runner(folder: &Path) -> String {
    let real = Path::new(env!("CARGO_BIN_EXE_plue")).with_file_name("plue-runner");
    let path = folder.join("runner");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--confined*) exit 1;; esac\nexec {} \"$@\"\n",
        real.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn unisolated_own_steps_get_a_named_environment() {
    let folder = tempfile::tempdir().unwrap();
    let runner = open_runner(folder.path());
    let served = Served::in_environment(&[
        ("PLUE_RUNNER_BINARY", &runner),
        ("AWS_SECRET_ACCESS_KEY", HIDDEN),
    ]);
    let tries = format!("grep -sa {HIDDEN} /proc/$PPID/environ /proc/self/environ\nenv | grep AWS");
    let (run, log) = pushed(&served, &workflow(&refused(&tries)));
    assert_eq!((log.as_str(), &run["status"]), ("tried\n", &Json::from("success")));
}

#[test]
fn required_isolation_holds_own_runs_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let runner = open_runner(folder.path());
    let served =
        Served::in_environment(&[("PLUE_RUNNER_BINARY", &runner), ("PLUE_LOCAL_MODE", "required")]);
    served.bench.write(".plue.py", workflow("touch ran"));
    served.push();
    let reason = loop {
        let runs = served.get("/api/v1/runs");
        let Some(run) = runs["items"][0]["id"].as_str() else { continue };
        let steps = served.get(&format!("/api/v1/runs/{run}/steps"));
        let step = &steps[0];
        if step["reason"].is_object() || step["reason"].is_string() {
            assert_eq!(step["status"], "queued", "{step}");
            break step["reason"].to_string();
        }
    };
    assert!(reason.contains("pools.local.mode is required"), "{reason}");
}
