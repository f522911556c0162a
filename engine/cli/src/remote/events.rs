//! A stream of server-sent events that goes on where it was after a lost connection, until the server
//! says that it is over.
//!
//! Must not give an event twice: each has a number, and a new connection asks for what is behind it.

use std::time::Duration;

use eventsource_stream::{Event, EventStreamError, Eventsource as _};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use plue_runtime::Clock;
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::client::Client;
use crate::{
    exit::Exit,
    failure::{Failure, chain},
};

/// Connections in a row that bring nothing.
const MAX_TRIES: u32 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);

type Open = BoxStream<'static, Result<Event, EventStreamError<reqwest::Error>>>;

struct State<'c> {
    client: &'c Client,
    path: String,
    /// Number of the last event.
    seen: String,
    open: Option<Open>,
    failed: u32,
}

/// The data of the events of a route.
pub(super) fn of<'c, T: DeserializeOwned>(
    client: &'c Client,
    path: String,
) -> impl Stream<Item = Result<T, Failure>> + 'c {
    let state = State { client, path, seen: String::new(), open: None, failed: 0 };
    stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Ok(Some(data)) => {
                let read = serde_json::from_str(&data);
                Some((read.map_err(|error| Failure::infrastructure(&error)), Some(state)))
            }
            Ok(None) => None,
            Err(failure) => Some((Err(failure), None)),
        }
    })
}

impl State<'_> {
    /// The data of the next event; none: it is over.
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let opened = self.client.events(&self.path, &self.seen).await;
                    match opened {
                        Ok(response) => self.open.insert(opened_stream(response)),
                        Err(failure) => {
                            self.again(failure).await?;
                            continue;
                        }
                    }
                }
            };
            match open.next().await {
                Some(Ok(event)) if event.event == "end" => return Ok(None),
                // The server asks to connect again.
                Some(Ok(event)) if event.event == "error" => {
                    self.lost("the server gave up").await?
                }
                Some(Ok(event)) => {
                    self.failed = 0;
                    self.seen = event.id;
                    return Ok(Some(event.data));
                }
                Some(Err(error)) => self.lost(&chain(&error)).await?,
                None => self.lost("the connection ended").await?,
            }
        }
    }

    async fn lost(&mut self, why: &str) -> Result<(), Failure> {
        self.open = None;
        let error = std::io::Error::other(format!("the stream broke off: {why}"));
        self.again(Failure::infrastructure(&error)).await
    }

    /// Waits before another try, or gives up: at once if trying again cannot help.
    async fn again(&mut self, failure: Failure) -> Result<(), Failure> {
        self.failed += 1;
        if failure.exit != Exit::Infrastructure || self.failed > MAX_TRIES {
            return Err(failure);
        }
        Clock::real().sleep(PAUSE).await;
        Ok(())
    }
}

fn opened_stream(response: Response) -> Open {
    let chunks = stream::unfold(response, |mut response| async move {
        match response.chunk().await {
            Ok(Some(bytes)) => Some((Ok(bytes), response)),
            Ok(None) => None,
            Err(error) => Some((Err(error.without_url()), response)),
        }
    });
    chunks.eventsource().boxed()
}
