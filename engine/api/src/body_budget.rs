//! Memory for request bodies: one budget for the whole server, a share of it per client, and a minimum
//! speed.
//!
//! A request pays for its first chunk before a byte of its body is read, for the rest as it arrives, and
//! gives everything back when it has been answered. A body waits for room only while it holds none, so
//! no two bodies ever wait for each other; one that outgrows the budget later is refused. Every
//! connection passes [`BodyBudget::serve`], so no route can read a body outside it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody as _},
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::{Future, StreamExt as _, stream};
use plue_runtime::Clock;
use tokio::sync::Notify;

use crate::{problem::Problem, rate::key_of};

/// Bytes of all bodies that are in memory at the same time.
pub const MAX_BODY_MEMORY: usize = 96 * 1024 * 1024;
/// Bytes of all bodies of one client address.
pub const MAX_CLIENT_MEMORY: usize = 48 * 1024 * 1024;
/// Bytes that only first chunks may use: large bodies never keep small ones out.
pub const FIRST_CHUNK_RESERVE: usize = 16 * 1024 * 1024;
/// Bytes charged to a request before the first byte of its body is read: the connection buffers it.
pub const FIRST_CHUNK: usize = 64 * 1024;
/// A body waits this long for its first chunk.
pub const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// The speed of a body is measured over windows of this length.
pub const SPEED_WINDOW: Duration = Duration::from_secs(10);
/// Fewer bytes in a window end the request: 4 KiB/s.
pub const MIN_WINDOW_BYTES: usize = 40 * 1024;

/// The budget of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    usage: Mutex<Usage>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Usage {
    total: usize,
    by_client: HashMap<String, usize>,
}

/// The part of the budget that one request holds, given back when it is dropped.
#[derive(Debug)]
struct Ticket {
    budget: BodyBudget,
    client: String,
    paid: AtomicUsize,
    refused: OnceLock<Refused>,
    is_read: AtomicBool,
}

/// Reason to stop reading a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("the server holds as many request bodies as it has memory for")]
    Full,
    #[error("the body came slower than {} KiB/s", MIN_WINDOW_BYTES as u64 / 1024 / SPEED_WINDOW.as_secs())]
    Slow,
    #[error("the body broke off")]
    Broken,
}

/// A body that is paid for as it is read.
#[derive(Debug)]
struct Meter {
    data: BodyDataStream,
    ticket: Arc<Ticket>,
    /// Bytes that have arrived.
    arrived: usize,
    /// Rest of the window in which the speed is measured; time in which the server does not read is
    /// not counted.
    window: Duration,
    /// Bytes that have arrived in the window.
    in_window: usize,
}

// === impl BodyBudget ===

impl BodyBudget {
    /// A budget with no bytes in use.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, usage: Mutex::default(), freed: Notify::new() }))
    }

    /// Bytes in use by all bodies, at most [`MAX_BODY_MEMORY`].
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.usage.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// Answers a request whose body is paid for from this budget. `client`: the address whose share it
    /// takes.
    pub async fn serve<F: Future<Output = Response>>(
        &self,
        request: Request,
        client: IpAddr,
        answer: impl FnOnce(Request) -> F,
    ) -> Response {
        if request.body().is_end_stream() {
            return answer(request).await;
        }
        let ticket = Arc::new(Ticket::new(self.clone(), key_of(client)));
        let request = request.map(|body| ticket.meter(body));
        let mut response = answer(request).await;
        if let Some(refused) = ticket.refused.get() {
            response = refused.response(response);
        }
        if !ticket.is_read.load(Ordering::Relaxed) {
            // The rest of the body is not worth waiting for.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Takes bytes for a client if `reserve` stays free afterwards.
    fn take(&self, client: &str, bytes: usize, reserve: usize) -> bool {
        let mut usage = self.0.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let own = usage.by_client.get(client).copied().unwrap_or(0);
        let fits =
            usage.total + bytes + reserve <= MAX_BODY_MEMORY && own + bytes <= MAX_CLIENT_MEMORY;
        if fits {
            usage.total += bytes;
            usage.by_client.insert(client.to_owned(), own + bytes);
        }
        fits
    }

    fn give_back(&self, client: &str, bytes: usize) {
        let mut usage = self.0.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.total = usage.total.saturating_sub(bytes);
        let own = usage.by_client.get(client).map_or(0, |own| own.saturating_sub(bytes));
        match own {
            0 => drop(usage.by_client.remove(client)),
            own => drop(usage.by_client.insert(client.to_owned(), own)),
        }
        drop(usage);
        self.0.freed.notify_waiters();
    }
}

// === impl Ticket ===

impl Ticket {
    fn new(budget: BodyBudget, client: String) -> Self {
        let (paid, refused, is_read) =
            (AtomicUsize::new(0), OnceLock::new(), AtomicBool::new(false));
        Self { budget, client, paid, refused, is_read }
    }

    /// The same body, read only as far as it is paid for.
    fn meter(self: &Arc<Self>, body: Body) -> Body {
        let meter = Meter {
            data: body.into_data_stream(),
            ticket: Arc::clone(self),
            arrived: 0,
            window: SPEED_WINDOW,
            in_window: 0,
        };
        Body::from_stream(stream::try_unfold(meter, |mut meter| async move {
            Ok::<_, Refused>(meter.next().await?.map(|chunk| (chunk, meter)))
        }))
    }

    /// Waits for room for the first chunk.
    async fn enter(&self) -> Result<(), Refused> {
        let shared = &self.budget.0;
        let room = async {
            loop {
                let freed = shared.freed.notified();
                if self.pay(FIRST_CHUNK, 0) {
                    return;
                }
                freed.await;
            }
        };
        tokio::select! {
            () = room => Ok(()),
            () = shared.clock.sleep(ROOM_WITHIN) => Err(Refused::Full),
        }
    }

    fn pay(&self, bytes: usize, reserve: usize) -> bool {
        let fits = self.budget.take(&self.client, bytes, reserve);
        if fits {
            self.paid.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.budget.give_back(&self.client, self.paid.load(Ordering::Relaxed));
    }
}

// === impl Meter ===

impl Meter {
    /// The next chunk, paid for; none at the end of the body.
    async fn next(&mut self) -> Result<Option<Bytes>, Refused> {
        let chunk = self.paid_chunk().await;
        match &chunk {
            Ok(Some(_)) => {}
            Ok(None) => self.ticket.is_read.store(true, Ordering::Relaxed),
            Err(refused) => drop(self.ticket.refused.set(*refused)),
        }
        chunk
    }

    async fn paid_chunk(&mut self) -> Result<Option<Bytes>, Refused> {
        if self.ticket.paid.load(Ordering::Relaxed) == 0 {
            self.ticket.enter().await?;
        }
        let Some(chunk) = self.arriving().await? else { return Ok(None) };
        self.arrived += chunk.len();
        let due = self.arrived.saturating_sub(self.ticket.paid.load(Ordering::Relaxed));
        if due > 0 && !self.ticket.pay(due, FIRST_CHUNK_RESERVE) {
            return Err(Refused::Full);
        }
        Ok(Some(chunk))
    }

    /// The next chunk, if it comes fast enough.
    async fn arriving(&mut self) -> Result<Option<Bytes>, Refused> {
        let clock = self.ticket.budget.0.clock;
        loop {
            let mark = clock.mark();
            tokio::select! {
                biased;
                chunk = self.data.next() => {
                    let Some(chunk) = chunk else { return Ok(None) };
                    let chunk = chunk.map_err(|_| Refused::Broken)?;
                    self.window = self.window.saturating_sub(clock.elapsed(mark));
                    self.in_window += chunk.len();
                    return Ok(Some(chunk));
                }
                () = clock.sleep(self.window) => {
                    if self.in_window < MIN_WINDOW_BYTES {
                        return Err(Refused::Slow);
                    }
                    (self.window, self.in_window) = (SPEED_WINDOW, 0);
                }
            }
        }
    }
}

// === impl Refused ===

impl Refused {
    /// The answer to a request whose body was refused; `given` is what its route made of that.
    fn response(self, given: Response) -> Response {
        let problem = |status| Problem::new(status, self.to_string());
        match self {
            Self::Full => problem(StatusCode::SERVICE_UNAVAILABLE)
                .retry_after(ROOM_WITHIN.as_secs())
                .into_response(),
            Self::Slow => problem(StatusCode::REQUEST_TIMEOUT).into_response(),
            Self::Broken => given,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, net::Ipv4Addr};

    use futures::FutureExt as _;

    use super::*;

    const ADA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const EVE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const MIB: usize = 1024 * 1024;

    fn of_chunks(count: usize, then: Option<Duration>) -> Request {
        let chunks = stream::iter(0..count).map(|_| Bytes::from(vec![b'x'; MIB]));
        let rest = stream::unfold(then, |then| async move {
            Clock::real().sleep(then?).await;
            Some((Bytes::from_static(b"x"), then))
        });
        let all = chunks.chain(rest).map(Ok::<_, Infallible>);
        Request::new(Body::from_stream(all))
    }

    /// Reads the whole body, and answers with its length after the delay `stay`.
    async fn read(request: Request, stay: Duration) -> Response {
        match axum::body::to_bytes(request.into_body(), usize::MAX).await {
            Ok(bytes) => {
                Clock::real().sleep(stay).await;
                bytes.len().to_string().into_response()
            }
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    fn now(request: Request) -> impl Future<Output = Response> {
        read(request, Duration::ZERO)
    }

    #[tokio::test(start_paused = true)]
    async fn answered_requests_give_their_memory_back() {
        let budget = BodyBudget::new(Clock::real());
        let response = budget.serve(of_chunks(25, None), ADA, now).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key(header::CONNECTION));
        assert_eq!(budget.used(), 0);
        let gone = budget.serve(of_chunks(25, Some(SPEED_WINDOW)), ADA, |request| {
            let unread = request.into_body();
            async move { drop(unread) }.map(|()| StatusCode::NOT_FOUND.into_response())
        });
        let response = gone.await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONNECTION], "close", "its body is not read");
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_gets_its_share_and_no_more() {
        let budget = BodyBudget::new(Clock::real());
        let response = budget.serve(of_chunks(60, None), EVE, now).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        let long = |request| read(request, Duration::from_secs(600));
        let held = budget.serve(of_chunks(40, None), EVE, long);
        let other = async {
            Clock::real().sleep(Duration::from_secs(1)).await;
            assert!(budget.used() >= 40 * MIB, "{}", budget.used());
            let refused = budget.serve(of_chunks(40, None), EVE, now).await;
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
            let honest = budget.serve(of_chunks(25, None), ADA, now).await;
            assert_eq!(honest.status(), StatusCode::OK);
        };
        tokio::join!(held, other);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_leave_room_for_small_ones() {
        let budget = BodyBudget::new(Clock::real());
        let clients = [ADA, EVE].map(key_of);
        for client in &clients {
            while budget.take(client, MIB, FIRST_CHUNK_RESERVE) {}
        }
        assert_eq!(budget.used(), MAX_BODY_MEMORY - FIRST_CHUNK_RESERVE);
        let third = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
        let small = Request::new(Body::from("small"));
        assert_eq!(budget.serve(small, third, now).await.status(), StatusCode::OK);
        let large = budget.serve(of_chunks(1, None), third, now).await;
        assert_eq!(large.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_only_for_its_first_chunk() {
        let budget = BodyBudget::new(Clock::real());
        while budget.take("held", FIRST_CHUNK, 0) {}
        while budget.take("more", FIRST_CHUNK, 0) {}
        assert_eq!(budget.used(), MAX_BODY_MEMORY);
        let small = || Request::new(Body::from("small"));
        let refused = budget.serve(small(), ADA, now).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let waiting = budget.serve(small(), ADA, now);
        let freeing = async {
            Clock::real().sleep(ROOM_WITHIN / 2).await;
            budget.give_back("held", FIRST_CHUNK);
        };
        let (response, ()) = tokio::join!(waiting, freeing);
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_are_cut() {
        let budget = BodyBudget::new(Clock::real());
        for first in [0, 1] {
            let slow = of_chunks(first, Some(Duration::from_secs(1)));
            let response = budget.serve(slow, EVE, now).await;
            assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT, "{first} MiB at once");
            assert_eq!(response.headers()[header::CONNECTION], "close");
            assert_eq!(budget.used(), 0);
        }
    }
}
