//! Connections to a server of another machine: TCP, TLS where the address asks for it, and a WebSocket on it.
//!
//! Must not send anything before the certificate of an `https` address was checked.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use plue_runtime::websocket::{self, ByteStream};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::Stream;

/// Path of the WebSocket.
const CONNECT: &str = "/api/v1/runners/connect";
/// Time limit of connecting, TLS and upgrade each.
const WITHIN: Duration = Duration::from_secs(10);

/// The address of a server: `http://HOST`, `https://HOST:PORT/PREFIX`; `ws` and `wss` mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) is_tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// Without a slash at the end.
    prefix: String,
}

/// A server of another machine.
#[derive(Debug, Clone)]
pub struct ServerDial {
    endpoint: Endpoint,
    /// A file of certificates that are trusted as well.
    certificates: Option<PathBuf>,
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads an address; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (is_tls, usual_port) = match scheme {
            "http" | "ws" => (false, 80),
            "https" | "wss" => (true, 443),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Some(usual_port), |port| port.parse().ok())?;
        let is_plain = |c: char| c.is_ascii_graphic() && !"\"<>@?#\\".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) || !path.chars().all(is_plain) {
            return None;
        }
        let path = path.trim_end_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Some(Self { is_tls, host: host.to_owned(), port, prefix })
    }

    /// The value of the header `Host`.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        format!("{host}:{}", self.port)
    }

    /// A path below the address.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

// === impl ServerDial ===

impl ServerDial {
    /// A server whose certificate one of the system's authorities has signed.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, certificates: None }
    }

    pub(crate) fn trust(&mut self, certificates: PathBuf) {
        self.certificates = Some(certificates);
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A WebSocket to the route of runners.
    pub(super) async fn open(&self) -> io::Result<ByteStream<Box<dyn Stream>>> {
        let stream = self.stream().await?;
        let at = &self.endpoint;
        // The stream may be TLS already; the scheme of this address has no effect.
        let url = format!("ws://{}{}", at.authority(), at.path(CONNECT));
        within(websocket::client(&url, stream)).await
    }

    /// A byte stream to the server, encrypted where the address asks for it.
    pub(crate) async fn stream(&self) -> io::Result<Box<dyn Stream>> {
        let Endpoint { is_tls, host, port, .. } = &self.endpoint;
        let stream = within(TcpStream::connect((host.as_str(), *port))).await?;
        stream.set_nodelay(true)?;
        if !is_tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        Ok(Box::new(within(connector.connect(name, stream)).await?))
    }

    fn tls(&self) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        // A machine without some of them may have the one that matters.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &self.certificates {
            let failed = |error| io::Error::other(format!("{}: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
                roots.add(certificate.map_err(failed)?).map_err(io::Error::other)?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}

async fn within<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = tokio::time::timeout(WITHIN, future).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let cases = [
            ("http://a", Some((false, "a:80", "/x"))),
            ("https://a.example", Some((true, "a.example:443", "/x"))),
            ("wss://a:8443/", Some((true, "a:8443", "/x"))),
            ("https://a/plue/", Some((true, "a:443", "/plue/x"))),
            ("http://[::1]:8787", Some((false, "[::1]:8787", "/x"))),
            ("a.example", None),
            ("ftp://a", None),
            ("http://", None),
            ("http://u@a", None),
            ("http://a:99999", None),
            ("http://a b", None),
        ];
        for (text, expected) in cases {
            let read = Endpoint::parse(text).map(|at| (at.is_tls, at.authority(), at.path("/x")));
            let read = read.as_ref().map(|(tls, host, path)| (*tls, host.as_str(), path.as_str()));
            assert_eq!(read, expected, "{text}");
        }
    }
}
