//! A remote MCP server: streamable HTTP, one request for each message.
//!
//! The guard checks every address, redirects are not followed, and errors contain neither addresses nor
//! headers, which may be secret. Must not keep a stream open for unsolicited messages.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use plue_plan::action::Mcp;
use plue_runtime::Tasks;
use plue_wire::mcp::{self, Incoming, Listing, MAX_MESSAGE_BYTES, Offered};
use reqwest::{Response, StatusCode};
use serde_json::{Map, Value as Json, json};
use tokio::sync::Mutex;

use crate::reach::{
    Guard, Request, Target, Unreached,
    exchange::{error_chain, send},
};

/// Bytes of all messages of one answer.
const MAX_ANSWER_BYTES: usize = 4 * MAX_MESSAGE_BYTES;
/// Messages above this size are parsed on a blocking thread.
const LARGE_BYTES: usize = 64 * 1024;
/// Requests of a server that are answered with a refusal; further ones are ignored.
const MAX_REFUSALS: usize = 16;
/// Bytes of an error's body in a message.
const MAX_ERROR_BYTES: usize = 1_024;
/// The header with the id of the session.
const SESSION: &str = "mcp-session-id";

/// A connection to one server.
#[derive(Debug)]
pub(crate) struct Remote {
    name: String,
    url: String,
    /// By lower-case name. May hold secrets.
    headers: Headers,
    guard: Guard,
    tasks: Tasks,
    next_id: AtomicU64,
    session: Mutex<Option<Session>>,
    /// The server has answered with HTTP 401.
    demands_login: AtomicBool,
}

/// Headers whose values are never formatted.
struct Headers(BTreeMap<String, String>);

#[derive(Debug, Clone)]
struct Session {
    id: Option<String>,
    version: &'static str,
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl Remote ===

impl Remote {
    /// `headers` are sent with each request; `None` for a server without a URL.
    pub(crate) fn new(
        server: &Mcp,
        headers: BTreeMap<String, String>,
        guard: Guard,
        tasks: Tasks,
    ) -> Option<Self> {
        Some(Self {
            name: server.name.clone(),
            url: server.url.clone()?,
            headers: Headers(headers),
            guard,
            tasks,
            next_id: AtomicU64::new(1),
            session: Mutex::new(None),
            demands_login: AtomicBool::new(false),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a request was refused for want of a valid token.
    pub(super) fn demands_login(&self) -> bool {
        self.demands_login.load(Ordering::Relaxed)
    }

    /// Adds the name of the server to an error.
    pub(super) fn failed(&self, why: &str) -> String {
        format!("MCP server `{}`: {why}", self.name)
    }

    /// Lists the definitions of the tools.
    ///
    /// # Errors
    /// A text for people.
    pub(super) async fn list(&self, wanted: Option<&[String]>) -> Result<Offered, String> {
        let mut listing = Listing::new(&self.name, wanted);
        let mut cursor: Option<String> = None;
        let listed = loop {
            let page = self.ask(|id| mcp::list(id, cursor.as_deref())).await;
            match page.and_then(|page| listing.page(&page)) {
                Ok(Some(next)) => cursor = Some(next),
                Ok(None) => break listing.finish(),
                Err(why) => break Err(why),
            }
        };
        listed.map_err(|why| self.failed(&why))
    }

    /// Calls a tool; returns its result.
    ///
    /// # Errors
    /// A text for the model.
    pub(super) async fn call(&self, tool: &str, input: Map<String, Json>) -> Result<Json, String> {
        let result = self.ask(|id| mcp::call(id, tool, input)).await;
        result.map_err(|why| self.failed(&why))
    }

    /// The result of a request in the current session.
    async fn ask(&self, request: impl FnOnce(u64) -> Json) -> Result<Json, String> {
        let session = self.session().await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let response = self.post(&request(id), Some(&session)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            *self.session.lock().await = None;
        }
        self.answer(response, id, Some(&session)).await
    }

    async fn parsed(&self, bytes: Vec<u8>) -> Option<Incoming> {
        if bytes.len() <= LARGE_BYTES {
            return mcp::incoming(&bytes);
        }
        let read = self.tasks.spawn_blocking(move || mcp::incoming(&bytes));
        read.await.ok().flatten()
    }

    async fn session(&self) -> Result<Session, String> {
        let mut current = self.session.lock().await;
        if let Some(session) = &*current {
            return Ok(session.clone());
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let response = self.post(&mcp::initialize(id), None).await?;
        let header = response.headers().get(SESSION).and_then(|value| value.to_str().ok());
        let session_id = header.filter(|id| id.len() <= 1_024).map(str::to_owned);
        let result = self.answer(response, id, None).await?;
        let session = Session { id: session_id, version: mcp::initialized(&result)? };
        let ready = mcp::notification("notifications/initialized", json!({}));
        let status = self.post(&ready, Some(&session)).await?.status();
        if !status.is_success() {
            return Err(format!("it answers with HTTP {status}"));
        }
        *current = Some(session.clone());
        Ok(session)
    }

    async fn post(&self, message: &Json, session: Option<&Session>) -> Result<Response, String> {
        let mut headers = self.headers.0.clone();
        let accepted = "application/json, text/event-stream";
        headers.insert("content-type".to_owned(), "application/json".to_owned());
        headers.insert("accept".to_owned(), accepted.to_owned());
        if let Some(session) = session {
            headers.insert("mcp-protocol-version".to_owned(), session.version.to_owned());
            headers.extend(session.id.clone().map(|id| (SESSION.to_owned(), id)));
        }
        let body = message.to_string().into_bytes();
        let target = Target::parse(&self.url).map_err(unreached)?;
        let request =
            Request { method: "POST", target: &target, headers: &headers, body: Some(&body) };
        send(request, &self.guard).await.map_err(unreached)
    }

    /// The way out where a server demands a login.
    fn login_hint(&self) -> String {
        self.demands_login.store(true, Ordering::Relaxed);
        if self.headers.0.contains_key("authorization") {
            let hint = "; it does not accept the `Authorization` header of the workflow: store a new token \
                        with `plue secret set`";
            return hint.to_owned();
        }
        "; it demands a login, and plue does not log in by OAuth: create an access token at the provider of \
         the server, store it with `plue secret set MCP_TOKEN`, and write headers={\"Authorization\": \
         [\"Bearer \", secret(\"MCP_TOKEN\")]} at the server"
            .to_owned()
    }

    /// Reads a response up to the answer to request `id`.
    async fn answer(
        &self,
        mut response: Response,
        id: u64,
        session: Option<&Session>,
    ) -> Result<Json, String> {
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("it answers with HTTP {status}, and redirects are not followed"));
        }
        let is_stream = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.trim().to_ascii_lowercase().starts_with("text/event-stream"));
        if !status.is_success() {
            let body = body(&mut response, MAX_ERROR_BYTES).await.unwrap_or_default();
            let body = mcp::quoted(&String::from_utf8_lossy(&body));
            let hint = match status {
                StatusCode::UNAUTHORIZED => self.login_hint(),
                _ => String::new(),
            };
            return Err(format!("it answers with HTTP {status}: {body}{hint}"));
        }
        if !is_stream {
            let body = body(&mut response, MAX_MESSAGE_BYTES + 1).await?;
            if body.len() > MAX_MESSAGE_BYTES {
                return Err(too_long());
            }
            return match self.parsed(body).await {
                Some(Incoming::Answer(answered, result)) if answered == id => result,
                _ => Err("its answer is no JSON-RPC answer to the request".to_owned()),
            };
        }
        let (mut events, mut read, mut refusals) = (Events::default(), 0, 0);
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            read += chunk.len();
            if read > MAX_ANSWER_BYTES {
                return Err(too_long());
            }
            for data in events.push(&chunk)? {
                match self.parsed(data).await {
                    Some(Incoming::Answer(answered, result)) if answered == id => return result,
                    Some(Incoming::Request(asked, method)) if refusals < MAX_REFUSALS => {
                        refusals += 1;
                        let refusal = mcp::answer(&asked, &method);
                        drop(Box::pin(self.post(&refusal, session)).await);
                    }
                    Some(_) | None => {}
                }
            }
        }
        Err("its stream ends without an answer".to_owned())
    }
}

fn too_long() -> String {
    format!("it answers with more than {MAX_MESSAGE_BYTES} bytes")
}

fn broken(error: reqwest::Error) -> String {
    format!("its answer broke off: {}", error_chain(error))
}

fn unreached(error: Unreached) -> String {
    match &error {
        Unreached::Refused(why) => {
            let hint = why.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{error}{hint}")
        }
        Unreached::Failed(_) | Unreached::TimedOut => error.to_string(),
    }
}

/// The first bytes of a body, at most `most`.
async fn body(response: &mut Response, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while bytes.len() < most
        && let Some(chunk) = response.chunk().await.map_err(broken)?
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(most);
    Ok(bytes)
}

/// Parser of server-sent events.
#[derive(Debug, Default)]
struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    is_after_cr: bool,
}

// === impl Events ===

impl Events {
    /// Adds a chunk; returns the data of the events that it completes.
    ///
    /// # Errors
    /// An event over the size limit.
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut found = Vec::new();
        for byte in chunk {
            match byte {
                b'\n' if std::mem::take(&mut self.is_after_cr) => {}
                b'\n' | b'\r' => {
                    self.is_after_cr = *byte == b'\r';
                    self.end_line(&mut found);
                }
                byte => {
                    self.is_after_cr = false;
                    self.line.push(*byte);
                }
            }
            if self.line.len() + self.data.len() > MAX_MESSAGE_BYTES {
                return Err(too_long());
            }
        }
        Ok(found)
    }

    fn end_line(&mut self, found: &mut Vec<Vec<u8>>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if !self.data.is_empty() {
                found.push(std::mem::take(&mut self.data));
            }
        } else if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_joined_over_chunks() {
        let mut events = Events::default();
        let mut all = Vec::new();
        for chunk in
            [": hi\r", "\nevent: message\r\ndata: {\"a\":\r\ndata:1}\r\n\r", "\nid: 1\ndata: x\n\n"]
        {
            all.extend(events.push(chunk.as_bytes()).unwrap());
        }
        assert_eq!(all, [b"{\"a\":\n1}".to_vec(), b"x".to_vec()]);
    }

    #[test]
    fn endless_events_are_refused() {
        let mut events = Events::default();
        let endless = (0..).find_map(|_| events.push(&[b'x'; 65_536]).err());
        assert!(endless.unwrap().contains("more than"));
    }
}
