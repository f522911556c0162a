//! The export of a run as one file, streamed through a pipe while it is written: a slow client occupies one
//! thread, and a disconnected one ends the work.
//!
//! Must not know the format of the file.

use std::{
    io::{self, PipeWriter, pipe},
    sync::Arc,
};

use axum::body::Bytes;
use futures::{StreamExt as _, stream};
use plue_api::{CommandError, commands::FileStream};
use plue_plan::RunId;
use plue_runtime::Tasks;
use plue_store::Store;
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::Receiver,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

/// Most exports at the same time.
const MAX_EXPORTS: usize = 4;
/// Bytes of one chunk.
const PART: usize = 64 * 1024;

/// Writes a run into a pipe and may block; an error is a message for people.
pub type WriteRun = fn(&Store, &RunId, PipeWriter) -> Result<(), String>;

/// Exports runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exporter {
    write: WriteRun,
    places: Arc<Semaphore>,
}

struct State {
    pipe: Receiver,
    written: JoinHandle<Result<(), String>>,
    _place: OwnedSemaphorePermit,
}

// === impl Exporter ===

impl Exporter {
    /// An exporter with this function.
    #[must_use]
    pub fn new(write: WriteRun) -> Self {
        Self { write, places: Arc::new(Semaphore::new(MAX_EXPORTS)) }
    }

    pub(crate) fn export(
        &self,
        store: Store,
        run: RunId,
        tasks: &Tasks,
    ) -> Result<FileStream, CommandError> {
        let failed = |error: io::Error| CommandError::Unavailable(error.to_string());
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            CommandError::Unavailable(format!("{MAX_EXPORTS} runs are exported already; try again"))
        })?;
        let (reader, writer) = pipe().map_err(failed)?;
        let pipe = Receiver::from_owned_fd(reader.into()).map_err(failed)?;
        let write = self.write;
        let written = tasks.spawn_blocking(move || write(&store, &run, writer));
        let state = State { pipe, written, _place: place };
        Ok(stream::unfold(Some(state), |state| async move { part(state?).await }).boxed())
    }
}

/// The next chunk, or an error if the file is incomplete.
async fn part(mut state: State) -> Option<(io::Result<Bytes>, Option<State>)> {
    let mut bytes = Vec::with_capacity(PART);
    match state.pipe.read_buf(&mut bytes).await {
        Ok(0) => {
            let why = match (&mut state.written).await {
                Ok(Ok(())) => return None,
                Ok(Err(why)) => why,
                Err(error) => error.to_string(),
            };
            tracing::warn!(why, "failed to export a run; the file is incomplete");
            Some((Err(io::Error::other(why)), None))
        }
        Ok(_) => Some((Ok(Bytes::from(bytes)), Some(state))),
        Err(error) => Some((Err(error), None)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use plue_store::StoreOptions;

    use super::*;

    async fn exported(write: WriteRun) -> (usize, bool) {
        let folder = tempfile::tempdir().unwrap();
        let store = StoreOptions::sqlite(&folder.path().join("plue.db"));
        let store = Store::open(store).await.unwrap();
        let (exporter, tasks) = (Exporter::new(write), Tasks::new());
        let stream = exporter.export(store, RunId::new("r"), &tasks).unwrap();
        let parts: Vec<_> = stream.collect().await;
        let length = parts.iter().flatten().map(Bytes::len).sum();
        (length, parts.last().is_none_or(Result::is_ok))
    }

    #[tokio::test]
    async fn incomplete_files_end_with_an_error() {
        let whole = |_: &Store, _: &RunId, mut pipe: PipeWriter| {
            pipe.write_all(&vec![7; 3_000_000]).map_err(|error| error.to_string())
        };
        assert_eq!(exported(whole).await, (3_000_000, true));
        let broken = |_: &Store, _: &RunId, mut pipe: PipeWriter| {
            pipe.write_all(b"half").map_err(|error| error.to_string())?;
            Err("the disk".to_owned())
        };
        assert_eq!(exported(broken).await, (4, false));
    }

    #[tokio::test]
    async fn dropped_exports_end_and_free_their_slot() {
        let folder = tempfile::tempdir().unwrap();
        let store = StoreOptions::sqlite(&folder.path().join("plue.db"));
        let store = Store::open(store).await.unwrap();
        let endless = |_: &Store, _: &RunId, mut pipe: PipeWriter| loop {
            pipe.write_all(&[0; 4_096]).map_err(|error| error.to_string())?;
        };
        let (exporter, tasks) = (Exporter::new(endless), Tasks::new());
        let open: Vec<_> = (0..MAX_EXPORTS)
            .map(|_| exporter.export(store.clone(), RunId::new("r"), &tasks).unwrap())
            .collect();
        assert!(exporter.export(store.clone(), RunId::new("r"), &tasks).is_err());
        drop(open);
        tasks.wait().await;
        assert_eq!(exporter.places.available_permits(), MAX_EXPORTS);
    }
}
