//! Logs of attempts: in pieces, as raw bytes, searched and followed.

use futures::Stream;
use plue_api::{
    records::{Page, PieceRecord, RunHitRecord, log::LogRemark},
    routes::LOG_REMARKS,
};

use crate::{
    client::{Client, MAX_PAGE, Sink, encoded, with_query},
    error::{Error, Result},
    runs::of_run,
};

/// Logs of attempts: pieces, raw bytes, search, streams.
#[derive(Debug, Clone, Copy)]
pub struct Logs<'c>(pub(crate) &'c Client);

// === impl Logs ===

impl<'c> Logs<'c> {
    /// A page of the pieces of a log behind a number; an empty page is behind the last one.
    ///
    /// # Errors
    /// The call.
    pub async fn pieces(
        &self,
        run: &str,
        attempt: &str,
        after: Option<String>,
    ) -> Result<Page<PieceRecord>> {
        self.0.get(&with_query(&of_log(run, attempt, "pieces"), &[("after", after)])).await
    }

    /// The pieces of the last lines of a log.
    ///
    /// # Errors
    /// The call.
    pub async fn tail(&self, run: &str, attempt: &str, lines: u64) -> Result<Vec<PieceRecord>> {
        let tail = [("tail", Some(lines.to_string()))];
        let page: Page<PieceRecord> =
            self.0.get(&with_query(&of_log(run, attempt, "pieces"), &tail)).await?;
        Ok(page.items)
    }

    /// Hands over the bytes of a log as the step wrote them, or of its last lines. Returns the remarks about
    /// the log: gaps, and notes of the runner.
    ///
    /// # Errors
    /// The call, or the sink.
    pub async fn raw<E: From<Error>>(
        &self,
        run: &str,
        attempt: &str,
        tail: Option<u64>,
        write: Sink<'_, E>,
    ) -> std::result::Result<Vec<LogRemark>, E> {
        let path = of_log(run, attempt, "raw");
        let mut remarks = Vec::new();
        let mut from = 0;
        loop {
            let range = match tail {
                Some(lines) => ("tail", Some(lines.to_string())),
                None => ("from", Some(from.to_string())),
            };
            let mut bytes = 0;
            let mut counted = |part: &[u8]| {
                bytes += part.len() as u64;
                write(part)
            };
            let headers = self.0.stream(&with_query(&path, &[range]), &mut counted).await?;
            let header = headers.get(LOG_REMARKS).and_then(|value| value.to_str().ok());
            let read = header.and_then(|text| serde_json::from_str::<Vec<LogRemark>>(text).ok());
            remarks.extend(read.unwrap_or_default());
            from += bytes;
            if bytes == 0 || tail.is_some() {
                return Ok(remarks);
            }
        }
    }

    /// The pieces of a log as they come, until its attempt ends.
    pub fn events(
        &self,
        run: &str,
        attempt: &str,
    ) -> impl Stream<Item = Result<PieceRecord>> + use<'c> {
        self.0.events(of_log(run, attempt, "events"))
    }

    /// A page of the lines with a text in the logs of a run, or of one attempt.
    ///
    /// # Errors
    /// The call.
    pub async fn search(
        &self,
        run: &str,
        text: &str,
        attempt: Option<&str>,
        cursor: Option<String>,
    ) -> Result<Page<RunHitRecord>> {
        let parameters = [
            ("limit", Some(MAX_PAGE.to_string())),
            ("q", Some(text.to_owned())),
            ("attempt", attempt.map(str::to_owned)),
            ("cursor", cursor),
        ];
        self.0.get(&with_query(&of_run(run, "/log/search"), &parameters)).await
    }
}

fn of_log(run: &str, attempt: &str, what: &str) -> String {
    of_run(run, &format!("/attempts/{}/log/{what}", encoded(attempt)))
}
