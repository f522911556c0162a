//! A scripted Claude for the tests of several programs: `scripts/scripted_claude.py`, which holds requests to the API's rules.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value as Json;

/// A server that answers with the turns of a script.
pub(crate) struct Scripted {
    child: Child,
    pub(crate) url: String,
}

// === impl Scripted ===

impl Scripted {
    /// Starts the server on a free port and loads the script.
    pub(crate) fn new(script: &Json) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut child = Command::new("python3")
            .arg(root.join("scripts/scripted_claude.py"))
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let scripted = Self { child, url: url.trim().to_owned() };
        scripted.request("POST", "/_fake/script", &script.to_string());
        scripted
    }

    /// A program with this server and a key.
    pub(crate) fn with_key<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("ANTHROPIC_API_KEY", "sk-ant-canary").env("ANTHROPIC_BASE_URL", &self.url)
    }

    /// State of the server: requests so far, turns left, violations.
    pub(crate) fn state(&self) -> Json {
        serde_json::from_str(&self.request("GET", "/_fake/state", "")).unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        body.to_owned()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
