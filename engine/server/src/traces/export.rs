//! From the ends of runs to a collector: a bounded queue, one request for many spans, few tries.
//!
//! The only module that names OpenTelemetry's SDK. Must not make a run wait: what finds no room or no
//! collector is counted and lost.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use plue_executor::{
    Origin,
    trace::{ENDS_QUEUE, Ended, Sampling, Traces},
};
use plue_runtime::{Clock, Phase, Stop, clock::Mark, metrics::names::TRACES};
use plue_store::Store;
use tokio::sync::mpsc;

use super::{
    names,
    spans::{Kind, MAX_CALLS, Source, Span, Value},
};

/// Spans of one request at most.
const MAX_SPANS: usize = 512;
/// Ends that are taken from the queue at once.
const BATCH: usize = 64;
/// A collector that takes longer is taken for dead.
const WITHIN: Duration = Duration::from_secs(10);
/// Tries of one request.
const TRIES: u32 = 3;
/// Before the second try; each later one waits twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two words in the log about a collector that does not answer.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Time for the rest of the queue when the process ends.
const AT_THE_END: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// The collector of traces.
#[derive(Clone)]
pub struct Collector {
    /// Its address, such as `http://127.0.0.1:4318`; `/v1/traces` is put behind it.
    pub endpoint: String,
    /// Headers of each request; they may hold credentials and are never shown.
    pub headers: HashMap<String, String>,
    /// The traced share of runs.
    pub sampling: Sampling,
    /// Address of this server for people.
    pub url: Option<String>,
    /// This process among others.
    pub instance: String,
}

/// The collector cannot be spoken to at all.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Its address is none.
    #[error("the address of the collector: {0}")]
    Address(String),
    /// There is no HTTP client.
    #[error("no HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Reads ended runs and exports their spans.
#[derive(Debug)]
pub struct Exporter {
    exporter: SpanExporter,
    traces: Traces,
    ends: mpsc::Receiver<Ended>,
    url: Option<String>,
    clock: Clock,
    logged: Option<Mark>,
    tries: u32,
}

/// The tree's HTTP client in the exporter's words.
#[derive(Debug)]
struct Client(reqwest::Client);

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

// === impl Exporter ===

impl Exporter {
    /// An exporter, and the queue that leads to it.
    ///
    /// # Errors
    /// [`TraceError`]
    pub fn new(collector: Collector, clock: Clock) -> Result<(Self, Traces), TraceError> {
        // Another room may have chosen the provider already; there is only this one.
        let _chosen_already = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(WITHIN)
            .build()?;
        let address = format!("{}/v1/traces", collector.endpoint.trim_end_matches('/'));
        let bad = |why: String| TraceError::Address(format!("{address}: {why}"));
        let scheme = reqwest::Url::parse(&address).map_err(|error| bad(error.to_string()))?;
        if !matches!(scheme.scheme(), "http" | "https") {
            return Err(bad("expected http:// or https://".to_owned()));
        }
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(&address)
            .with_headers(collector.headers)
            .with_timeout(WITHIN)
            // Its pauses would hold a thread.
            .with_retry_policy(RetryPolicy::disabled())
            .with_http_client(Client(client))
            .build()
            .map_err(|error| bad(error.to_string()))?;
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new(names::SERVICE_NAME, "plue"),
            KeyValue::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(names::SERVICE_INSTANCE_ID, collector.instance),
        ]);
        exporter.set_resource(&resource.build());
        let (sender, ends) = mpsc::channel(ENDS_QUEUE);
        let traces = Traces { sampling: collector.sampling, ends: sender };
        let (url, logged, tries) = (collector.url, None, TRIES);
        Ok((Self { exporter, traces: traces.clone(), ends, url, clock, logged, tries }, traces))
    }

    /// Exports until `over`; then what is left, for a moment.
    pub async fn work(mut self, store: Store, over: Stop) {
        let clock = self.clock;
        let mut ended = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = over.reached(Phase::Draining) => break,
                _some = self.ends.recv_many(&mut ended, BATCH) => {}
            }
            let too_long = async {
                over.reached(Phase::Draining).await;
                clock.sleep(AT_THE_END).await;
            };
            tokio::select! {
                () = self.export(&store, &ended) => ended.clear(),
                () = too_long => return tracing::warn!("traces of the last runs are lost"),
            }
        }
        self.rest(&store).await;
    }

    /// Exports the rest of the queue, for a moment.
    async fn rest(&mut self, store: &Store) {
        self.ends.close();
        // The end of the process would wait for the pauses too.
        self.tries = 1;
        let clock = self.clock;
        let all = async {
            let mut ended = Vec::with_capacity(BATCH);
            while self.ends.recv_many(&mut ended, BATCH).await > 0 {
                self.export(store, &ended).await;
                ended.clear();
            }
        };
        tokio::select! {
            () = all => {}
            () = clock.sleep(AT_THE_END) => tracing::warn!("traces of the last runs are lost"),
        }
    }

    async fn export(&mut self, store: &Store, ended: &[Ended]) {
        let mut spans = Vec::new();
        for end in ended {
            match self.spans_of(store, end).await {
                Ok(more) => spans.extend(more),
                Err(error) => self.failed(&error.to_string(), 1),
            }
        }
        let mut all_well = true;
        let of_runs = spans.iter().filter(|span| span.span_kind == SpanKind::Server).count();
        let mut rest = spans.into_iter().peekable();
        while rest.peek().is_some() && all_well {
            let some: Vec<SpanData> = rest.by_ref().take(MAX_SPANS).collect();
            all_well = self.send(some).await;
        }
        let outcome = if all_well { "exported" } else { "failed" };
        (0..of_runs).for_each(|_| TRACES.increment(&[("outcome", outcome)]));
    }

    async fn spans_of(&self, store: &Store, end: &Ended) -> Result<Vec<SpanData>, crate::Error> {
        // A run that was deleted meanwhile has no trace.
        let Some(stored) = store.runs().load(&end.run).await? else { return Ok(Vec::new()) };
        let plan = store.plans().parsed(&stored.run.plan).await?;
        let Some(plan) = plan else { return Ok(Vec::new()) };
        let corrupt = |message| plue_executor::Error::Corrupt { run: end.run.clone(), message };
        let origin: Origin = serde_json::from_value(stored.source.origin.clone())
            .map_err(|error| corrupt(error.to_string()))?;
        let calls = store.claude().calls_of(&end.run, MAX_CALLS).await?;
        let (stored, calls, traces) = (&stored, calls.as_slice(), &self.traces);
        let url = self.url.as_deref();
        let source = Source { stored, calls, plan: &plan, origin: &origin, traces, url };
        Ok(source.spans(end.seq).into_iter().map(data).collect())
    }

    /// Whether the collector took them.
    async fn send(&mut self, spans: Vec<SpanData>) -> bool {
        let mut pause = PAUSE;
        for attempt in 1..=self.tries {
            match self.exporter.export(spans.clone()).await {
                Ok(()) => return true,
                Err(error) if attempt == self.tries => self.failed(&error.to_string(), spans.len()),
                Err(error) => tracing::debug!(%error, attempt, "traces are sent again"),
            }
            if attempt < self.tries {
                self.clock.sleep(pause).await;
                pause *= 2;
            }
        }
        false
    }

    /// Logged now and then only: a collector may be away for days.
    fn failed(&mut self, why: &str, spans: usize) {
        if self.logged.is_none_or(|mark| self.clock.elapsed(mark) >= LOG_EVERY) {
            tracing::warn!(error = why, spans, "traces are lost; runs go on");
            self.logged = Some(self.clock.mark());
        }
    }
}

// === impl Client ===

impl HttpClient for Client {
    fn send_bytes<'client, 'sent>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'client: 'sent,
        Self: 'sent,
    {
        Box::pin(async move {
            let mut answer = self.0.execute(request.try_into()?).await?;
            let mut head = Response::builder().status(answer.status());
            if let Some(headers) = head.headers_mut() {
                headers.extend(std::mem::take(answer.headers_mut()));
            }
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await? {
                body.extend_from_slice(&part);
                if body.len() > MAX_ANSWER {
                    return Err(opentelemetry_http::ResponseBodyTooLarge::new().into());
                }
            }
            Ok(head.body(body.into())?)
        })
    }
}

/// A span in the words of the SDK.
fn data(span: Span) -> SpanData {
    let flags = if span.context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, id) =
        (TraceId::from_bytes(span.context.trace), SpanId::from_bytes(span.context.span));
    let mut events = SpanEvents::default();
    events.events.extend(span.events.into_iter().map(|(name, at, attribute)| {
        let attributes = attribute.map(|(name, value)| KeyValue::new(name, value));
        Event::new(name, SystemTime::from(at), attributes.into_iter().collect(), 0)
    }));
    let attributes = span.attributes.into_iter().map(|(name, value)| match value {
        Value::Text(text) => KeyValue::new(name, text),
        Value::Number(number) => KeyValue::new(name, number),
    });
    SpanData {
        span_context: SpanContext::new(trace, id, flags, false, TraceState::default()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.remote,
        span_kind: match span.kind {
            Kind::Run => SpanKind::Server,
            Kind::Attempt => SpanKind::Internal,
            Kind::Call => SpanKind::Client,
        },
        name: span.name.into(),
        start_time: SystemTime::from(span.start),
        end_time: SystemTime::from(span.end),
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        // An attribute with the result makes "Ok" redundant; only errors are marked, as the conventions require.
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("plue")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}
