//! The client: requests as documents, answers as records, problems as errors.

use futures::StreamExt as _;
use plue_api::{local::Local, records::Page};
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, ProblemDocument, Result, chain},
    http::{Http, ServerAddress},
    lists::Lists,
    logs::Logs,
    repositories::Repositories,
    runners::Runners,
    runs::Runs,
    secrets::Secrets,
    tokens::Tokens,
    transport::{Answer, Body, Request, Transport},
    webhooks::Webhooks,
};

/// Bytes of an answer that is no stream.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The API of a server or of this process.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
}

/// Takes the next bytes of a file.
pub type Sink<'w, E> = &'w mut dyn FnMut(&[u8]) -> std::result::Result<(), E>;

// === impl Client ===

impl Client {
    /// A client of a server.
    ///
    /// # Errors
    /// The token is no text of a header; TLS cannot be used.
    pub fn remote(address: &ServerAddress, token: Option<&str>) -> Result<Self> {
        Ok(Self { transport: Transport::Http(Http::new(address, token)?) })
    }

    /// A client of the API in this process.
    #[must_use]
    pub fn local(api: Local) -> Self {
        Self { transport: Transport::Local(api) }
    }

    /// True if the API is the one in this process.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.transport, Transport::Local(_))
    }

    /// Runs of the API.
    #[must_use]
    pub fn runs(&self) -> Runs<'_> {
        Runs(self)
    }

    /// Logs of attempts: pieces, raw bytes, search, streams.
    #[must_use]
    pub fn logs(&self) -> Logs<'_> {
        Logs(self)
    }

    /// Lists of what a server looks after.
    #[must_use]
    pub fn lists(&self) -> Lists<'_> {
        Lists(self)
    }

    /// Secrets by their scope; no call returns a text.
    #[must_use]
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets(self)
    }

    /// Watched repositories with their events and workflows.
    #[must_use]
    pub fn repositories(&self) -> Repositories<'_> {
        Repositories(self)
    }

    /// Tokens of the API.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }

    /// Runners of other machines, and pools of pods.
    #[must_use]
    pub fn runners(&self) -> Runners<'_> {
        Runners(self)
    }

    /// Outgoing webhooks with their deliveries.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks(self)
    }

    /// Reads the document of a target.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        self.document(request(Method::GET, target)).await
    }

    /// Makes a change that answers with a document.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T> {
        self.document(with_body(Method::POST, target, body)?).await
    }

    /// Makes a change that may be requested again with the same key.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
        key: &str,
    ) -> Result<T> {
        let mut request = with_body(Method::POST, target, body)?;
        request.headers.push((HeaderName::from_static("idempotency-key"), key.to_owned()));
        self.document(request).await
    }

    /// Makes a change that answers with nothing.
    pub(crate) async fn change(&self, method: Method, target: &str) -> Result<()> {
        self.send(request(method, target)).await.map(drop)
    }

    /// Makes a change with a document that answers with nothing.
    pub(crate) async fn change_with(
        &self,
        method: Method,
        target: &str,
        body: &impl Serialize,
    ) -> Result<()> {
        self.send(with_body(method, target, body)?).await.map(drop)
    }

    /// Reads all pages of a list, at most `limit` items.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        target: &str,
        limit: usize,
    ) -> Result<Vec<T>> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        while items.len() < limit {
            let size = ("limit", Some((limit - items.len()).min(MAX_PAGE).to_string()));
            let page = with_query(target, &[size, ("cursor", cursor)]);
            let page: Page<T> = self.get(&page).await?;
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// Opens a stream of events behind the one with this id.
    pub(crate) async fn open_events(&self, target: &str, behind: &str) -> Result<Body> {
        let mut request = request(Method::GET, target);
        if !behind.is_empty() {
            let name = HeaderName::from_static("last-event-id");
            request.headers.push((name, behind.to_owned()));
        }
        Ok(self.send(request).await?.body)
    }

    /// Reads all pages of a list, each of at most `size` items.
    pub(crate) async fn every_page<T: DeserializeOwned>(
        &self,
        target: &str,
        size: usize,
    ) -> Result<Vec<T>> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let size = ("limit", Some(size.to_string()));
            let page = with_query(target, &[size, ("cursor", cursor)]);
            let page: Page<T> = self.get(&page).await?;
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Hands over all bytes of an answer, part by part; returns its headers.
    pub(crate) async fn stream<E: From<Error>>(
        &self,
        target: &str,
        write: Sink<'_, E>,
    ) -> std::result::Result<HeaderMap, E> {
        let answer = self.send(request(Method::GET, target)).await?;
        let mut body = answer.body;
        while let Some(part) = body.next().await {
            write(&part.map_err(broken)?)?;
        }
        Ok(answer.headers)
    }

    /// Hands over the bytes of a file, which must have this SHA-256.
    pub(crate) async fn file<E: From<Error>>(
        &self,
        target: &str,
        sha256: &str,
        write: Sink<'_, E>,
    ) -> std::result::Result<(), E> {
        let mut hasher = Sha256::new();
        let mut hashed = |part: &[u8]| {
            hasher.update(part);
            write(part)
        };
        self.stream(target, &mut hashed).await?;
        if hex::encode(hasher.finalize()) == sha256 {
            return Ok(());
        }
        Err(Error::Broken("the file came damaged".to_owned()).into())
    }

    async fn document<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let answer = self.send(request).await?;
        serde_json::from_slice(&whole(answer.body).await?).map_err(Error::Unreadable)
    }

    async fn send(&self, request: Request) -> Result<Answer> {
        let answer = self.transport.send(request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status;
        let document: ProblemDocument =
            serde_json::from_slice(&whole(answer.body).await?).unwrap_or_default();
        if let Some(cause) = answer.cause {
            return Err(Error::Failed(cause));
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(Error::Anonymous { server: self.transport.name().to_owned() });
        }
        Err(Error::refused(status, document))
    }
}

/// Rows of one page: the most that a server gives.
pub(crate) const MAX_PAGE: usize = 200;

fn request(method: Method, target: &str) -> Request {
    Request { method, target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
}

fn with_body(method: Method, target: &str, body: &(impl Serialize + ?Sized)) -> Result<Request> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Broken(error.to_string()))?;
    let headers = vec![(header::CONTENT_TYPE, "application/json".to_owned())];
    Ok(Request { headers, body, ..request(method, target) })
}

/// The whole of an answer that is not too long to be one.
async fn whole(mut body: Body) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(broken)?;
        if all.len() + part.len() > MAX_ANSWER_BYTES {
            return Err(Error::TooLong);
        }
        all.extend_from_slice(&part);
    }
    Ok(all)
}

fn broken(error: std::io::Error) -> Error {
    Error::Broken(chain(&error))
}

/// A text as one part of a path or a query (RFC 3986 §2.1).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A target with the parameters that have a value.
pub(crate) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut target = path.to_owned();
    let mut joint = if path.contains('?') { '&' } else { '?' };
    for (name, value) in parameters {
        if let Some(value) = value {
            target.push_str(&format!("{joint}{name}={}", encoded(value)));
            joint = '&';
        }
    }
    target
}
