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

// === impl Client ===

impl Client {
    /// A page of the pieces of a log behind a number; an empty page is behind the last one.
    ///
    /// # Errors
    /// The call.
    pub async fn log_pieces(
        &self,
        run: &str,
        attempt: &str,
        after: Option<String>,
    ) -> Result<Page<PieceRecord>> {
        self.get(&with_query(&of_log(run, attempt, "pieces"), &[("after", after)])).await
    }

    /// The pieces of the last lines of a log.
    ///
    /// # Errors
    /// The call.
    pub async fn log_tail(&self, run: &str, attempt: &str, lines: u64) -> Result<Vec<PieceRecord>> {
        let tail = [("tail", Some(lines.to_string()))];
        let page: Page<PieceRecord> =
            self.get(&with_query(&of_log(run, attempt, "pieces"), &tail)).await?;
        Ok(page.items)
    }

    /// Hands over the bytes of a log as the step wrote them, or of its last lines. Returns the remarks about
    /// the log: gaps, and notes of the runner.
    ///
    /// # Errors
    /// The call, or the sink.
    pub async fn raw_log<E: From<Error>>(
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
            let headers = self.stream(&with_query(&path, &[range]), &mut counted).await?;
            let told = headers.get(LOG_REMARKS).and_then(|value| value.to_str().ok());
            let told = told.and_then(|text| serde_json::from_str::<Vec<LogRemark>>(text).ok());
            remarks.extend(told.unwrap_or_default());
            from += bytes;
            if bytes == 0 || tail.is_some() {
                return Ok(remarks);
            }
        }
    }

    /// The pieces of a log as they come, until its attempt ends.
    pub fn log_events(
        &self,
        run: &str,
        attempt: &str,
    ) -> impl Stream<Item = Result<PieceRecord>> + use<'_> {
        self.events(of_log(run, attempt, "events"))
    }

    /// A page of the lines with a text in the logs of a run, or of one attempt.
    ///
    /// # Errors
    /// The call.
    pub async fn search_logs(
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
        self.get(&with_query(&of_run(run, "/log/search"), &parameters)).await
    }
}

fn of_log(run: &str, attempt: &str, what: &str) -> String {
    of_run(run, &format!("/attempts/{}/log/{what}", encoded(attempt)))
}
