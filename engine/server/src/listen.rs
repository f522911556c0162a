//! Connections: so many at a time, heads that come in time and are not too long, and an end that lets
//! requests finish.
//!
//! Must not know a route.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use plue_api::limit::Peer;
use plue_runtime::{Clock, Phase, Stop, Tasks};
use tokio::{net::TcpListener, sync::Semaphore};
use tower::ServiceExt as _;

use crate::stalled::Stalled;

/// Connections at the same time.
pub const MAX_CONNECTIONS: usize = 20_000;
/// A head that takes longer is nobody's.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a head; hyper needs at least 8 KiB.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// After a failed accept, such as when descriptors are used up.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until the server stops, then lets open requests finish. `places` is how many connections
/// there may be, at most [`MAX_CONNECTIONS`].
pub async fn serve(
    (listener, places): (TcpListener, usize),
    router: Router,
    stop: Stop,
    tasks: Tasks,
    clock: Clock,
) {
    let places = places.clamp(1, MAX_CONNECTIONS);
    let room = Arc::new(Semaphore::new(places));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            () = stop.reached(Phase::Draining) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => (stream, from),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    clock.sleep(BREATH).await;
                    continue;
                }
            },
        };
        // Small answers and single events must not wait for more.
        let _kept = stream.set_nodelay(true);
        let (router, stop) = (router.clone(), stop.clone());
        drop(tasks.spawn("connection", async move {
            connection(Stalled::new(stream, clock), from, router, stop).await;
            drop(place);
        }));
    }
    // Every place that comes back is a connection that has ended.
    let all = u32::try_from(places).unwrap_or(u32::MAX);
    tokio::select! {
        _all = room.acquire_many(all) => {}
        () = stop.reached(Phase::Aborting) => {}
    }
}

async fn connection(stream: Stalled, from: SocketAddr, router: Router, stop: Stop) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(from));
        router.clone().oneshot(request)
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ended = &mut connection => return,
        () = stop.reached(Phase::Draining) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ended = connection => {}
        () = stop.reached(Phase::Aborting) => {}
    }
}
