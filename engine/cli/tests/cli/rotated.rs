//! The order of keys for several servers on one Postgres, as `docs/how-to/secrets.md` gives it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use crate::support::{Bench, CliOutput};

const WORKFLOW: &str = r#"
def workflow():
    return Plan(name="CI", steps=[
        Step.bash("use", 'test "$FIRST" = hunter11hunter && test "$SECOND" = hunter22hunter',
                  env={"FIRST": secret("FIRST"), "SECOND": secret("SECOND")}),
    ])
"#;

const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A server with a state directory and keys of its own.
struct Server {
    process: Child,
    address: String,
}

struct Place {
    bench: Bench,
    token: String,
    servers: [Option<Server>; 2],
}

impl Place {
    fn new() -> Self {
        let bench = Bench::on_postgres();
        bench.write(".plue.py", WORKFLOW);
        bench.commit();
        let bare = bench.home().join("app.git");
        let bare = bare.to_str().unwrap();
        bench.git(&["init", "-q", "--bare", "-b", "main", bare]);
        bench.git(&["push", "-q", bare, "HEAD:main"]);
        bench.plue(&["repo", "add", "acme/app", bare]).ends(0);
        let made = bench.plue(&["token", "create", "--name", "test", "--role", "admin"]).ends(0);
        let token = made.stdout.trim().to_owned();
        Self { bench, token, servers: [None, None] }
    }

    fn command(&self, keys: &[&str], args: &[&str]) -> Command {
        let mut command = self.bench.command(args);
        command.env("PLUE_SECRET_KEY", keys.join(","));
        command
    }

    /// A command in the environment of an operator.
    fn plue(&self, keys: &[&str], args: &[&str]) {
        CliOutput::of(self.command(keys, args).output().unwrap()).ends(0);
    }

    fn set(&self, keys: &[&str], name: &str, text: &str) {
        let path = self.bench.home().join(name);
        std::fs::write(&path, text).unwrap();
        let file = path.to_str().unwrap();
        self.plue(keys, &["secret", "set", name, "--global", "--from-file", file]);
    }

    fn start(&mut self, at: usize, keys: &[&str]) {
        let mut command = self.command(keys, &["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--state-dir").arg(self.bench.home().join(format!("server{at}")));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        self.servers[at] = Some(Server { process, address });
    }

    fn stop(&mut self, at: usize) {
        let mut server = self.servers[at].take().unwrap();
        let pid = server.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(server.process.wait().unwrap().success());
    }

    /// Restarts both, one after the other; the one that is left drives a run alone.
    fn restart(&mut self, keys: &[&str]) {
        for at in [0, 1] {
            self.stop(at);
            self.runs(1 - at);
            self.start(at, keys);
        }
        self.runs(0);
        self.runs(1);
    }

    /// A run that this server is asked for succeeds.
    fn runs(&self, at: usize) {
        let server = format!("http://{}", self.servers[at].as_ref().unwrap().address);
        let mut command = self.bench.command(&["--server", &server, "run", "CI"]);
        command.args(["--repo", "acme/app"]).env("PLUE_TOKEN", &self.token);
        CliOutput::of(command.output().unwrap()).ends(0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            let _ended = server.process.kill();
            let _reaped = server.process.wait();
        }
    }
}

#[test]
fn two_servers_take_rotated_keys_in_order() {
    let mut place = Place::new();
    place.set(&[OLD], "FIRST", "hunter11hunter");
    place.set(&[OLD], "SECOND", "hunter22hunter");
    place.start(0, &[OLD]);
    place.start(1, &[OLD]);
    place.restart(&[OLD, NEW]);
    place.plue(&[NEW, OLD], &["secret", "rotate"]);
    // Set in between, it is under the old key.
    place.set(&[OLD, NEW], "SECOND", "hunter22hunter");
    place.restart(&[NEW, OLD]);
    place.plue(&[NEW, OLD], &["secret", "rotate"]);
    place.restart(&[NEW]);
}
