//! Attackers without any right: thousands of silent connections, and bodies that come by
//! the byte.

use std::{io::Write as _, net::TcpStream, os::fd::OwnedFd, time::Duration};

use anyhow::Context as _;
use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, connect, socket};

use super::{Over, stand::Stand};
use crate::bench::machine::pause;
pub(super) use crate::bench::machine::raise_descriptor_limit;

/// Connections that are held open.
const CONNECTIONS: usize = 5_000;
/// Connections that send a body slowly.
const DRIPPING: usize = 60;
/// Bytes that each of those announces: what a webhook may have.
const ANNOUNCED: usize = 25_000_000;
/// Bytes of one drop.
const DROP: usize = 16 * 1024;

/// Keeps thousands of connections open; one that is closed is opened again. How many were opened.
pub(super) fn hold_connections(address: &str, over: &Over) -> anyhow::Result<usize> {
    let (mut held, mut opened) = (Vec::new(), 0);
    while !over.is_so() {
        while held.len() < CONNECTIONS && !over.is_so() {
            let Ok(mut stream) = connected(address, opened) else { break };
            // A head that never ends.
            let _closed = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ");
            held.push(stream);
            opened += 1;
        }
        pause(Duration::from_millis(500));
        held.retain_mut(|stream| stream.write_all(b"a").is_ok());
    }
    Ok(opened)
}

/// Announces large bodies at hooks that exist and at one that does not, and sends them slowly.
pub(super) fn drip_bodies(stand: &Stand, over: &Over) -> anyhow::Result<usize> {
    let paths = [&*stand.hook, &*stand.hung_hook, "/hooks/github/none", "/webhooks/in/a%2Fb/c"];
    let (mut held, mut sent, drop) = (Vec::new(), 0, vec![b'a'; DROP]);
    while !over.is_so() {
        while held.len() < DRIPPING && !over.is_so() {
            let Ok(mut stream) = connected(&stand.address, sent) else { break };
            let path = paths[sent % paths.len()];
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {ANNOUNCED}\r\n\r\n");
            let _closed = stream.write_all(head.as_bytes());
            held.push(stream);
            sent += 1;
        }
        held.retain_mut(|stream| stream.write_all(&drop).is_ok());
        pause(Duration::from_millis(50));
    }
    Ok(sent)
}

/// A connection from one of 250 loopback addresses of an attacker.
fn connected(address: &str, n: usize) -> anyhow::Result<TcpStream> {
    let to: SocketAddrV4 = address.parse().context("an address of the server")?;
    let own = u8::try_from(n % 250).unwrap_or_default() + 1;
    let socket: OwnedFd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(std::net::Ipv4Addr::new(127, 0, 1, own), 0))?;
    connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    Ok(stream)
}
