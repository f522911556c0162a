//! A stream of server-sent events that continues where it was after a lost connection, until the server
//! ends it.
//!
//! Must not give an event twice: each has a number, and a new connection asks for those behind it.

use std::{io, time::Duration};

use eventsource_stream::{Event, EventStreamError, Eventsource as _};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use plue_runtime::Clock;
use serde::de::DeserializeOwned;

use crate::{
    client::Client,
    error::{Error, Result, chain},
};

/// Connections in a row that bring nothing.
const MAX_TRIES: u32 = 20;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(500);

type Open = BoxStream<'static, std::result::Result<Event, EventStreamError<io::Error>>>;

struct State<'c> {
    client: &'c Client,
    target: String,
    /// Number of the last event.
    last: String,
    open: Option<Open>,
    failures: u32,
}

// === impl Client ===

impl Client {
    /// The data of the events of a route.
    pub(crate) fn events<T: DeserializeOwned>(
        &self,
        target: String,
    ) -> impl Stream<Item = Result<T>> + use<'_, T> {
        let state = State { client: self, target, last: String::new(), open: None, failures: 0 };
        stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(Some(data)) => {
                    let read = serde_json::from_str(&data);
                    Some((read.map_err(Error::Unreadable), Some(state)))
                }
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

// === impl State ===

impl State<'_> {
    /// The data of the next event; `None`: the stream is over.
    async fn next(&mut self) -> Result<Option<String>> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => match self.client.open_events(&self.target, &self.last).await {
                    Ok(body) => self.open.insert(body.eventsource().boxed()),
                    Err(error) => {
                        self.wait_after(error).await?;
                        continue;
                    }
                },
            };
            match open.next().await {
                Some(Ok(event)) if event.event == "end" => return Ok(None),
                // The server asks to connect again.
                Some(Ok(event)) if event.event == "error" => {
                    self.reconnect("the server gave up").await?;
                }
                Some(Ok(event)) => {
                    self.failures = 0;
                    self.last = event.id;
                    return Ok(Some(event.data));
                }
                Some(Err(error)) => self.reconnect(&chain(&error)).await?,
                None => self.reconnect("the connection ended").await?,
            }
        }
    }

    async fn reconnect(&mut self, why: &str) -> Result<()> {
        self.open = None;
        self.wait_after(Error::Broken(format!("the stream broke off: {why}"))).await
    }

    /// Waits before another try, or gives up: at once if trying again cannot help.
    async fn wait_after(&mut self, error: Error) -> Result<()> {
        self.failures += 1;
        if !error.is_passing() || self.failures > MAX_TRIES {
            return Err(error);
        }
        Clock::real().sleep(PAUSE).await;
        Ok(())
    }
}
