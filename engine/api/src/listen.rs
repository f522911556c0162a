//! Connections: a limit in total and per address, timeouts and sizes of heads, one memory budget for bodies,
//! and a shutdown that lets open requests finish.
//!
//! Must not know a route.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use plue_runtime::{Clock, Phase, Stop, Tasks, together::noticed};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt as _;

use crate::{
    body_budget::BodyBudget, client::Proxies, limit::Peer, rate::key_of, stalled::Stalled,
};

/// Most concurrent connections of one listener; more wait in the backlog of the system.
pub const MAX_CONNECTIONS: usize = 20_000;
/// Divisor of the connection limit for one address. Trusted proxies are exempt, since they serve many
/// clients.
pub const ADDRESS_SHARE: usize = 2;
/// Timeout of a request head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a head; hyper needs at least 8 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// Pause after a failed accept, for example when descriptors are used up.
const BREATH: Duration = Duration::from_millis(50);

/// A listening socket with its connection limit and trusted proxies.
#[derive(Debug)]
pub struct Entrance {
    /// Bound socket that accepts the connections.
    pub listener: TcpListener,
    /// Concurrent connections, at most [`MAX_CONNECTIONS`].
    pub max_connections: usize,
    /// The proxies that may name the client of a request.
    pub proxies: Proxies,
}

/// State shared by all connections.
#[derive(Debug, Clone)]
struct Shared {
    router: Router,
    stop: Stop,
    clock: Clock,
    proxies: Proxies,
    budget: BodyBudget,
    shares: Shares,
}

/// Open connections by address.
#[derive(Debug, Clone)]
struct Shares {
    most: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// One connection counted against its address.
#[derive(Debug)]
struct Share {
    shares: Shares,
    key: String,
}

/// Serves until the server stops, then lets open requests finish.
pub async fn serve(entrance: Entrance, router: Router, stop: Stop, tasks: Tasks, clock: Clock) {
    let Entrance { listener, max_connections, proxies } = entrance;
    let max_connections = max_connections.clamp(1, MAX_CONNECTIONS);
    let slots = Arc::new(Semaphore::new(max_connections));
    let (budget, shares) = (BodyBudget::new(clock), Shares::new(max_connections));
    let shared = Shared { router, stop: stop.clone(), clock, proxies, budget, shares };
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            () = stop.reached(Phase::Draining) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => (stream, from),
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection; retrying");
                    clock.sleep(BREATH).await;
                    continue;
                }
            },
        };
        // A connection beyond the share of its address is closed at once; a queue would delay others.
        let Some(share) = shared.share_of(from.ip()) else { continue };
        drop(tasks.spawn("connection", shared.clone().connection(stream, from, (slot, share))));
    }
    // All slots are free once every connection has ended.
    let all = u32::try_from(max_connections).unwrap_or(u32::MAX);
    tokio::select! {
        _all = slots.acquire_many(all) => {}
        () = stop.reached(Phase::Aborting) => {}
    }
}

// === impl Shared ===

impl Shared {
    /// Counts a connection against its address; `None`: the share is used up.
    fn share_of(&self, address: IpAddr) -> Option<Option<Share>> {
        if self.proxies.trusts(address) {
            return Some(None);
        }
        self.shares.take(address).map(Some)
    }

    async fn connection(
        self,
        stream: TcpStream,
        from: SocketAddr,
        _held: (OwnedSemaphorePermit, Option<Share>),
    ) {
        // Small answers and single events must not wait for more.
        let _kept = stream.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS);
        let stop = self.stop.clone();
        let stream = Stalled::new(stream, self.clock);
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = self.clone();
            async move { Ok::<_, Infallible>(shared.answer(request, from).await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let drained = stop.reached(Phase::Draining);
        let served = noticed(connection, drained, |one| one.graceful_shutdown());
        tokio::select! {
            _ended = served => {}
            () = stop.reached(Phase::Aborting) => {}
        }
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        from: SocketAddr,
    ) -> axum::response::Response {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(from));
        let client = self.proxies.client(from.ip(), request.headers());
        let router = self.router;
        let answer = |request| async move {
            router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
        };
        self.budget.serve(request, client, answer).await
    }
}

// === impl Shares ===

impl Shares {
    fn new(max_connections: usize) -> Self {
        Self { most: (max_connections / ADDRESS_SHARE).max(1), open: Arc::default() }
    }

    fn take(&self, address: IpAddr) -> Option<Share> {
        let key = key_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(&key).copied().unwrap_or(0);
        if own >= self.most {
            return None;
        }
        open.insert(key.clone(), own + 1);
        Some(Share { shares: self.clone(), key })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.shares.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get(&self.key).copied().unwrap_or(0) {
            0 | 1 => drop(open.remove(&self.key)),
            own => drop(open.insert(self.key.clone(), own - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_gets_half_of_the_slots() {
        let shares = Shares::new(10);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (eve, ada) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut held: Vec<_> = (0..5).map(|_| shares.take(eve).unwrap()).collect();
        assert!(shares.take(eve).is_none());
        assert!(shares.take(ada).is_some());
        held.pop();
        assert!(shares.take(eve).is_some());
        held.clear();
        assert!(shares.open.lock().unwrap().is_empty(), "ended connections leave nothing");
    }
}
