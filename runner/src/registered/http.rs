//! One request over HTTP/1.0, which has no chunks: all that a runner ever sends besides its WebSocket.

use std::{io, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::link::ServerDial;

/// Bytes of an answer.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// Time limit of an answer.
const WITHIN: Duration = Duration::from_secs(30);

/// Sends a JSON document; returns status and body of the answer.
pub(super) async fn post(dial: &ServerDial, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let at = dial.endpoint();
    let head = format!(
        "POST {} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        at.path(path),
        at.authority(),
        body.len()
    );
    let exchange = async {
        let mut stream = dial.stream().await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        stream.flush().await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(WITHIN, exchange).await;
    let answer = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    parse(&answer).ok_or_else(|| io::Error::other("the server's answer is not HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let mut first = head.lines().next()?.split(' ');
    first.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = first.next()?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}

/// The reason of a refusal, for people: the problem of the server (RFC 9457), or the status alone.
pub(super) fn refusal(status: u16, body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let detail = detail.unwrap_or("the address may not be that of a plue server");
    let plain: String = detail.chars().filter(|c| !c.is_control()).take(500).collect();
    format!("the server answers {status}: {plain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-type: x\r\n\r\n{\"detail\":\"used\"}";
        let (status, body) = parse(answer).unwrap();
        assert_eq!(refusal(status, &body), "the server answers 403: used");
        assert_eq!(parse(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
        assert!(refusal(502, b"<html>").contains("may not be that of a plue server"));
    }
}
