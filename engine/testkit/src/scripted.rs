//! A scripted Claude for the tests of several programs: `scripts/scripted_claude.py`, which holds requests to the API's rules.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value as Json;

/// A server that answers with the turns of a script.
#[derive(Debug)]
pub struct Scripted {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

// === impl Scripted ===

impl Scripted {
    /// Starts the server on a free port and loads the script.
    #[must_use]
    pub fn new(script: &Json) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut child = Command::new("python3")
            .arg(root.join("scripts/scripted_claude.py"))
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut url)
            .expect("the address is read");
        let scripted = Self { child, url: url.trim().to_owned() };
        scripted.request("POST", "/_fake/script", &script.to_string());
        scripted
    }

    /// A program with this server and a key.
    pub fn with_key<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("ANTHROPIC_API_KEY", "sk-ant-canary").env("ANTHROPIC_BASE_URL", &self.url)
    }

    /// State of the server: requests so far, turns left, violations.
    #[must_use]
    pub fn state(&self) -> Json {
        serde_json::from_str(&self.request("GET", "/_fake/state", "")).expect("the state is JSON")
    }

    /// Body of the answer to one request.
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream =
            TcpStream::connect(self.url.trim_start_matches("http://")).expect("the server accepts");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is read");
        let (_, body) = answer.split_once("\r\n\r\n").expect("the answer has a body");
        body.to_owned()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
