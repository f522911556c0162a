//! A private repository that is served over HTTP by git itself: `plue serve` mirrors its history, and the
//! files of the commit that runs, with the token that it was given.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::Bench;

const TOKEN: &str = "forge-token-0123456789";
const WORKFLOW: &str = r#"
ASKED = "cat big.txt; git status --porcelain; git rev-list --count HEAD; git diff HEAD~1"

def workflow():
    return Plan(name="CI", triggers=[Trigger.on_manual()], steps=[Step.bash("show", ASKED)])
"#;

/// Answers git over HTTP until a request for `/done`; returns the number of refused requests.
fn serve_git(listener: &TcpListener, root: &Path) -> usize {
    let mut refused = 0;
    loop {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let (mut head, mut line) = (Vec::new(), String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            head.push(line.trim().to_owned());
            line.clear();
        }
        let field = |name: &str| {
            let found = head.iter().filter_map(|line| line.split_once(": "));
            let mut found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let target = head[0].split(' ').nth(1).unwrap().to_owned();
        if target == "/done" {
            return refused;
        }
        let pair = STANDARD.encode(format!("x-access-token:{TOKEN}"));
        if field("authorization") == format!("Basic {pair}") {
            let mut body = vec![0; field("content-length").parse().unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let method = head[0].split(' ').next().unwrap();
            let answer = backend(root, (method, &target), &body, &field);
            reader.get_mut().write_all(&answer).unwrap();
        } else {
            refused += 1;
            let head = "HTTP/1.1 401 No\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n";
            write!(reader.get_mut(), "{head}connection: close\r\n\r\n").unwrap();
        }
    }
}

/// `git http-backend` as the CGI program that it is (RFC 3875).
pub(crate) fn backend(
    root: &Path,
    (method, target): (&str, &str),
    body: &[u8],
    field: &dyn Fn(&str) -> String,
) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut git = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", field("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(body).unwrap();
    let stdout = git.wait_with_output().unwrap().stdout;
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", &stdout[..]].concat()
}

/// A server, ended when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn private_repositories_are_mirrored_with_history_and_contents() {
    let bench = Bench::with(WORKFLOW);
    bench.write("big.txt", "of the first commit\n".repeat(10));
    bench.commit();
    let old = bench.git(&["rev-parse", "HEAD:big.txt"]);
    // The parent of the commit that runs: its contents come for `git diff HEAD~1`.
    bench.write("big.txt", "of the parent\n");
    bench.commit();
    bench.write("big.txt", "of the second commit\n");
    bench.commit();
    let bare = bench.home().join("git/app.git");
    let bare = bare.to_str().unwrap();
    bench.git(&["clone", "-q", "--bare", ".", bare]);
    bench.git(&["--git-dir", bare, "config", "uploadpack.allowFilter", "true"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (secret, token) = (bench.home().join("secret"), bench.home().join("token"));
    std::fs::write(&secret, "a-secret-of-the-forge").unwrap();
    std::fs::write(&token, TOKEN).unwrap();
    let url = format!("http://{address}/app.git");
    let add = ["repo", "add", "acme/app", &url, "--forge", "github", "--report", "none"];
    let files = ["--webhook-secret", secret.to_str().unwrap(), "--token", token.to_str().unwrap()];
    bench.plue(&[&add[..], &files, &["--allow-http"]].concat()).ends(0);
    let made = bench.plue(&["token", "create", "--name", "ada", "--role", "writer"]).ends(0);
    let mut server = bench.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut server = Server(server.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let place = line.trim().rsplit(' ').next().unwrap().to_owned();
    let mut run = bench.command(&["--server", &place, "run", "CI", "--repo", "acme/app"]);
    let run = run.env("PLUE_TOKEN", made.stdout.trim());
    // The end of the run ends the git server.
    let asked = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let output = run.output().unwrap();
            write!(TcpStream::connect(address).unwrap(), "GET /done HTTP/1.1\r\n\r\n").unwrap();
            output
        });
        let refused = serve_git(&listener, &bench.home().join("git"));
        (run.join().unwrap(), refused)
    });
    let (output, refused) = asked;
    let output = crate::support::CliOutput::of(output).ends(0);
    output.reports(&["of the second commit", "3", "-of the parent"]);
    let runs = std::fs::read_dir(bench.state().join("workspaces")).unwrap();
    for run in runs {
        let workspace = run.unwrap().path();
        let pair = STANDARD.encode(format!("x-access-token:{TOKEN}"));
        for (path, content) in crate::support::snapshot(&workspace) {
            for secret in [TOKEN, &pair] {
                let is_there = content.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!is_there, "{}", path.display());
            }
        }
    }
    assert_eq!(refused, 0, "git was asked without the token");
    let mirrors = std::fs::read_dir(bench.state().join("mirrors")).unwrap();
    let mirror = mirrors.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut look = Command::new("git");
    look.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
    look.arg("--git-dir").arg(&mirror).args(["cat-file", "-e", old.trim()]);
    assert!(!look.output().unwrap().status.success(), "a file of an old commit came too");
    let config = std::fs::read_to_string(mirror.join("config")).unwrap();
    assert!(!config.contains(TOKEN), "{config}");
}
