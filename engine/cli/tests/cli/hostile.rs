//! A server against clients and steps that mean no good, as the programs run it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::serve::Served;

/// Prints what a terminal or a page would obey.
const EVIL: &str = r#"
def workflow():
    say = "printf 'needle \\033]0;owned\\007\\033[2J\\033[31m<script>alert(1)</script>\\r\\n'; exit 3"
    return Plan("Evil", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("evil", say)])
"#;

/// The first bytes that are answered to a head whose body never comes.
fn answered(served: &Served, head: &str) -> String {
    let mut stream = TcpStream::connect(&served.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 256];
    let count = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[test]
fn bodies_announced_too_long_are_refused_unread() {
    let served = Served::start();
    let hook = "POST /hooks/github/nobody HTTP/1.1\r\nhost: x\r\ncontent-length: 30000000\r\n\r\n";
    let answer = answered(&served, hook);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let run = format!(
        "POST /api/v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 3000000\r\n\r\n",
        served.token
    );
    let answer = answered(&served, &run);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn output_of_steps_cannot_control_the_terminal() {
    let served = Served::start();
    served.bench.write(".plue.py", EVIL);
    served.push();
    let run = served.run(1);
    let run = run["id"].as_str().unwrap();
    for args in [
        &["logs", run, "--search", "needle"][..],
        &["logs", run, "--search", "needle", "--output", "json"],
        &["explain", run],
        &["doc", "generate", run],
    ] {
        for output in [served.bench.plue(args), served.remotely(args)] {
            let output = output.ends(0);
            let bad = |c: char| c.is_control() && c != '\n';
            assert!(!output.stdout.contains(bad), "{args:?}: {:?}", output.stdout);
        }
    }
    let output = served.remotely(&["logs", run, "--search", "needle"]).ends(0);
    output.shows(&["needle", "<script>"]);
}
