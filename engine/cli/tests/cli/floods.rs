//! Clients that send much, slowly, or nothing: the memory and the places of a running server.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::serve::Served;

/// The largest delivery that is taken.
const BODY: usize = 25 * 1024 * 1024;
/// Growth that 60 slow senders of such deliveries may cause.
const MAX_GROWTH_KIB: u64 = 300 * 1024;

impl Served {
    /// The path of the webhook of a repository at a forge.
    fn hook(&self) -> String {
        self.bench.write("secret", "shared with the forge");
        let url = "https://git.example/acme/hub.git";
        let args = ["repo", "add", "acme/hub", url, "--forge", "github", "--report", "none"];
        let output =
            self.bench.plue(&[&args[..], &["--webhook-secret", "secret"]].concat()).ends(0);
        let path = output.stderr.split(' ').find(|word| word.starts_with("/hooks/"));
        path.unwrap_or_else(|| panic!("no hook in {}", output.stderr)).to_owned()
    }

    /// A line of `/proc/PID/status` in KiB.
    fn memory(&self, line: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.id());
        let status = std::fs::read_to_string(path).unwrap();
        let value = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        value.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// So many connections from another address than that of [`Served::ask`].
    fn connect_many(&self, count: usize) -> Vec<TcpStream> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let connect = async || {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let stream = socket.connect(self.address.parse().unwrap()).await.unwrap();
            stream.into_std().unwrap()
        };
        runtime.block_on(async {
            let mut streams = Vec::with_capacity(count);
            for _ in 0..count {
                streams.push(connect().await);
            }
            streams
        })
    }

    /// Starts the server again with at most so many open files.
    fn serve_with_files(&mut self, most: u32) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        let plain = self.bench.command(&["serve", "--listen", &self.address]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]);
        limited.arg(plain.get_program()).args(plain.get_args());
        limited.current_dir(plain.get_current_dir().unwrap()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        self.server = limited.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(self.server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(&self.address), "{line}");
    }
}

/// A head that announces a body.
fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         x-github-event: push\r\nx-github-delivery: d\r\nx-hub-signature-256: sha256=00\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// Text received until the connection ends.
fn read_all(stream: &mut TcpStream) -> String {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn unknown_hooks_are_answered_before_their_body() {
    let served = Served::start();
    for path in ["/hooks/github/nope", "/hooks/nope/nope", "/callbacks/nope"] {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.write_all(head(path, 1024 * 1024).as_bytes()).unwrap();
        let answer = read_all(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
    }
    for (path, status) in [("/webhooks/in/acme%2Fapp/deploy", "401"), ("/login", "403")] {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.write_all(head(path, 10_000).as_bytes()).unwrap();
        let answer = read_all(&mut stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
}

#[test]
fn slow_large_bodies_take_bounded_memory() {
    let served = Served::start();
    let hook = served.hook();
    let before = served.memory("VmRSS");
    let part = vec![b' '; 1024 * 1024];
    let mut streams: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(&served.address).unwrap();
            stream.write_all(head(&hook, BODY).as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    // All but the last byte, as far as the server takes it: round by round, until none takes any more.
    let mut sent = vec![0; streams.len()];
    let mut stuck = 0;
    while stuck < 200 {
        stuck += 1;
        for (stream, sent) in streams.iter_mut().zip(&mut sent) {
            let left = (BODY - 1 - *sent).min(part.len());
            if let Ok(count @ 1..) = stream.write(&part[..left]) {
                *sent += count;
                stuck = 0;
            }
        }
        // The server answers others meanwhile.
        assert_eq!(served.ask("GET", "/healthz", None).0, 200);
    }
    let grown = served.memory("VmHWM").saturating_sub(before);
    assert!(grown < MAX_GROWTH_KIB, "{grown} KiB for {} bytes", sent.iter().sum::<usize>());
    let taken = sent.iter().filter(|sent| **sent == BODY - 1).count();
    assert!(taken < streams.len(), "every body was taken whole");
}

#[test]
fn one_address_cannot_take_all_connections() {
    let mut served = Served::start();
    served.serve_with_files(1_024);
    // More connections than there is room for; each is open and idle.
    let idle = served.connect_many(1_024);
    assert_eq!(served.ask("GET", "/healthz", None).0, 200);
    // The first of them had not timed out yet when the honest client was answered.
    let still = (&idle[0]).read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(still, Err(ErrorKind::WouldBlock));
    let last = (&idle[idle.len() - 1]).read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(last, Ok(0) | Err(ErrorKind::ConnectionReset)), "{last:?}");
}

#[test]
fn five_thousand_idle_connections_block_no_requests() {
    let served = Served::start();
    let idle = served.connect_many(5_000);
    assert_eq!(served.ask("GET", "/healthz", None).0, 200);
    let open = idle.iter().filter(|stream| {
        let read = (&mut &**stream).read(&mut [0]).map_err(|error| error.kind());
        read == Err(ErrorKind::WouldBlock)
    });
    assert!(open.count() > 0, "none was left when the server answered");
}
