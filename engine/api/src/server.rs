//! The router of all routes, and what stands before each of them: who is asking, how much he may
//! send, how long it may take.
//!
//! Must not know what a route does.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse as _, Response},
};
use plue_runtime::{Clock, Ids, Phase, Stop, Tasks, Watchdog};
use plue_store::{AuditRow, Store};
use serde_json::Value as Json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer, timeout::TimeoutLayer,
};

use crate::{
    access::Principal,
    client::Proxies,
    commands::Commands,
    endpoint::{Answer, Endpoint},
    guard::guard,
    limit::{self, Limiter, Rates},
    login::Login,
    pages::{
        self,
        run::{pictures::Pictures, shared::Shared as SharedRuns},
    },
    problem::Problem,
    routes,
    stream::{changed::Changed, hub::Hub, places::Places},
};

/// Logs that are looked through at the same time.
const SEARCHES: usize = 4;

/// Limits of requests and streams.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// From the head of a request to the answer; streams may go on.
    pub answer_within: Duration,
    /// From the head of a webhook's delivery, which may be long, to its answer.
    pub hook_within: Duration,
    /// Followed resources are read this often without a wake-up.
    pub heartbeat: Duration,
    /// Streams at the same time.
    pub streams: usize,
    /// Streams of one token at the same time.
    pub streams_of_token: usize,
    /// Rate limits of requests.
    pub rates: Rates,
    /// The proxies that may name the client of a request.
    pub proxies: Proxies,
}

/// State that the routes share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: Parts,
    limiter: Limiter,
    places: Places,
    hub: Hub,
    changed: Changed,
    searches: Semaphore,
    pictures: Pictures,
    run_pages: SharedRuns,
}

/// Services and settings of the API.
#[derive(Debug)]
pub struct Parts {
    /// The database of runs, tokens and logs.
    pub store: Store,
    /// The side that plans and executes.
    pub commands: Arc<dyn Commands>,
    /// Clock of the process, paused in tests.
    pub clock: Clock,
    /// Fresh ids and tokens.
    pub ids: Ids,
    /// Limits of requests and streams.
    pub limits: Limits,
    /// Spawner of tasks that end with the server.
    pub tasks: Tasks,
    /// Knows whether the loops of this process turn.
    pub watchdog: Watchdog,
    /// Stop of this server's intake: from [`Phase::Draining`] on it reports that it is not ready.
    pub drain: Stop,
    /// End of all streams.
    pub stop: Stop,
    /// The metrics of this process, as Prometheus reads them.
    pub metrics: fn() -> String,
    /// The login of people; none: with tokens only.
    pub login: Option<Login>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 * 1024 * 1024,
            answer_within: Duration::from_secs(30),
            hook_within: Duration::from_secs(120),
            // Commits of this process and, on Postgres, of others wake streams; this is for the rest.
            heartbeat: Duration::from_secs(5),
            streams: 15_000,
            streams_of_token: 2_000,
            rates: Rates::default(),
            proxies: Proxies::default(),
        }
    }
}

// === impl Api ===

impl Api {
    /// The API on these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            limiter: Limiter::new(&parts.limits.rates, parts.clock),
            places: Places::new(parts.limits.streams, parts.limits.streams_of_token),
            hub: Hub::default(),
            changed: Changed::new(&parts.store, parts.clock),
            searches: Semaphore::new(SEARCHES),
            pictures: Pictures::default(),
            run_pages: SharedRuns::default(),
            parts,
        }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    pub(crate) fn commands(&self) -> &dyn Commands {
        &*self.0.parts.commands
    }

    pub(crate) fn clock(&self) -> Clock {
        self.0.parts.clock
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.0.parts.ids
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.parts.limits
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    pub(crate) fn login(&self) -> Option<&Login> {
        self.0.parts.login.as_ref()
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.parts.tasks
    }

    /// Whether the server takes nothing new.
    pub(crate) fn drains(&self) -> bool {
        self.0.parts.drain.phase() >= Phase::Draining
    }

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.0.parts.watchdog
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    /// The time of the last change of any run.
    pub(crate) fn changed(&self) -> &Changed {
        &self.0.changed
    }

    /// Contents of runs' pages, shared by their readers.
    pub(crate) fn shared_runs(&self) -> &SharedRuns {
        &self.0.run_pages
    }

    /// Laid-out plans of pages.
    pub(crate) fn pictures(&self) -> &Pictures {
        &self.0.pictures
    }

    /// Waits until a log may be looked through.
    pub(crate) async fn turn_to_search(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.searches.acquire().await.ok()
    }

    pub(crate) fn stop(&self) -> Stop {
        self.0.parts.stop.clone()
    }

    /// Leaves a row in the audit trail: who did what to what, and from which address.
    pub(crate) async fn trail(
        &self,
        caller: &Principal,
        action: &str,
        (subject, repo): (&str, Option<String>),
        mut detail: Json,
    ) -> Result<(), Problem> {
        if let (Some(from), Some(fields)) = (caller.from(), detail.as_object_mut()) {
            fields.insert("from".to_owned(), from.to_string().into());
        }
        let row = AuditRow {
            seq: 0,
            at: self.clock().now(),
            principal: caller.name.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            repo,
            detail,
        };
        Ok(self.store().audit().add(&row).await?)
    }

    pub(crate) fn metrics(&self) -> String {
        (self.0.parts.metrics)()
    }
}

/// All routes, ready to be served.
pub fn router(api: Api) -> Router {
    let late = StatusCode::GATEWAY_TIMEOUT;
    let slow = TimeoutLayer::with_status_code(late, api.limits().answer_within);
    routed(api, routes::all(), pages::routes().layer(slow))
}

/// `/healthz`, `/readyz` and `/metrics` only.
pub fn probes(api: Api) -> Router {
    routed(api, routes::probes(), Router::new())
}

fn routed(api: Api, endpoints: Vec<Endpoint>, pages: Router<Api>) -> Router {
    let mut router = Router::new();
    for endpoint in endpoints {
        router = router.route(endpoint.path, guarded(&api, &endpoint));
    }
    let router = router.merge(pages);
    let around = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ))
        .layer(CatchPanicLayer::custom(panicked));
    let router = router.fallback(nowhere).method_not_allowed_fallback(wrong_method);
    limit::bodies(router, api.limits().body_bytes).layer(around).with_state(api)
}

fn guarded(api: &Api, endpoint: &Endpoint) -> axum::routing::MethodRouter<Api> {
    let state = (api.clone(), endpoint.need);
    let route = (endpoint.route)();
    let route = match endpoint.answer {
        // Their first byte comes at once; how long they go on is up to the reader.
        Answer::Events(_) => route,
        Answer::Json(_) | Answer::Created(_) | Answer::Bytes(_) | Answer::Nothing => {
            let late = StatusCode::GATEWAY_TIMEOUT;
            route.layer(TimeoutLayer::with_status_code(late, api.limits().answer_within))
        }
    };
    route.route_layer(middleware::from_fn_with_state(state, guard))
}

async fn nowhere(headers: HeaderMap, uri: Uri) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let is_page = accept.is_some_and(|accept| accept.contains("text/html"));
    if is_page && !uri.path().starts_with("/api/") {
        return pages::not_found(&headers);
    }
    Problem::new(StatusCode::NOT_FOUND, "there is no such route; see /api/v1/openapi.json")
        .into_response()
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the route does not answer this method")
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug in plue").into_response()
}
