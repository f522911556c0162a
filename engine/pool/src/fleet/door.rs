//! New connections: the greeting is read within five seconds, checked against the row of the runner, and
//! the connection handed to the task that serves that runner.
//!
//! Must not store anything for a connection whose proof was not checked.

use std::{sync::atomic::Ordering, time::Duration};

use futures::StreamExt as _;
use plue_runtime::websocket::ByteStream;
use plue_store::RunnerRow;
use plue_wire::{
    decode, encode,
    runner::{CloseCode, FromRunner, Hello, MAX_FRAME_BYTES, PROTOCOL, REMOTE_PROTOCOL, ToRunner},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::{
    io::{AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::OwnedSemaphorePermit,
};

use super::{Arrival, Denied, Fleet, Link, MAX_RUNNERS, Socket, Transport, is_remote};
use crate::session::{Connection, frames};

/// Time limit of a greeting.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a greeting.
const MAX_HELLO_BYTES: usize = 256 * 1024;
/// Time for which a runner of a run waits for the driver of that run, here.
const DRIVER_WITHIN: Duration = Duration::from_secs(10);
/// Interval at which the row of such a runner is read.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time limit for writing the reason of a refusal.
const REFUSE_WITHIN: Duration = Duration::from_secs(1);

/// The right to one connection without a finished greeting.
#[derive(Debug)]
pub struct GreetingPermit(
    #[expect(dead_code, reason = "held until the greeting is checked")] OwnedSemaphorePermit,
);

// === impl Fleet: new connections ===

impl Fleet {
    /// A permit for one more connection; `None` while too many have not greeted.
    #[must_use]
    pub fn permit(&self) -> Option<GreetingPermit> {
        self.0.ungreeted.clone().try_acquire_owned().ok().map(GreetingPermit)
    }

    /// Serves a connection from its greeting on. Returns when it is refused or handed over.
    pub async fn accept<S: Transport + 'static>(&self, stream: S, permit: GreetingPermit) {
        let stream: Box<dyn Transport> = Box::new(stream);
        let socket: Socket = plue_runtime::websocket::server(stream).await;
        let (read, write) = tokio::io::split(socket);
        let mut link = Connection { frames: frames(read, MAX_HELLO_BYTES), write, hello: None };
        let first = tokio::time::timeout(HELLO_WITHIN, link.frames.next()).await;
        let hello = match first {
            Ok(Some(Ok(frame))) => match decode::<FromRunner>(&frame) {
                Ok(FromRunner::Hello(hello)) => hello,
                Ok(_) | Err(_) => return,
            },
            Ok(Some(Err(_)) | None) | Err(_) => return,
        };
        let admitted = self.admitted(&hello).await;
        drop(permit);
        match admitted {
            Ok((row, hash)) => {
                link.frames.decoder_mut().set_max_frame_length(MAX_FRAME_BYTES);
                link.hello = Some(hello);
                self.welcome(row, Arrival { link, hash, number: 0 }).await;
            }
            Err(denied) => {
                tracing::info!(runner = %hello.runner, reason = denied.reason, "refused a runner");
                refuse(link, denied).await;
            }
        }
    }

    /// The row of a runner whose greeting proves that it is the runner, with the hash of its credential.
    async fn admitted(&self, hello: &Hello) -> Result<(RunnerRow, String), Denied> {
        if !(REMOTE_PROTOCOL..=PROTOCOL).contains(&hello.protocol) {
            let reason = format!(
                "this engine speaks the protocol versions {REMOTE_PROTOCOL} to {PROTOCOL} with runners \
                 of other machines"
            );
            return Err(Denied { code: CloseCode::Version, reason });
        }
        let store = &self.0.store;
        let busy = |error: plue_store::Error| {
            tracing::warn!(%error, "failed to read the row of a runner; it dials again");
            Denied { code: CloseCode::Overload, reason: "the database does not answer".to_owned() }
        };
        // The same answer for a wrong credential and for a runner that does not exist.
        let wrong = || Denied {
            code: CloseCode::Auth,
            reason: "the credential is not that of a runner of this server".to_owned(),
        };
        let row = store.runners().get(&hello.runner).await.map_err(busy)?;
        let hash = store.registrations().credential(&hello.runner).await.map_err(busy)?;
        let (Some(row), Some(hash)) = (row.filter(is_remote), hash) else { return Err(wrong()) };
        let shown = hex::encode(Sha256::digest(hello.token.as_bytes()));
        if bool::from(shown.as_bytes().ct_eq(hash.as_bytes())) {
            return Ok((row, hash));
        }
        for admit in &self.0.admits {
            if let Some(admitted) = admit.admit(&row, hello).await {
                return admitted.map(|()| (row, hash));
            }
        }
        Err(wrong())
    }

    /// Hands a connection to the task that serves its runner, or starts one.
    async fn welcome(&self, mut row: RunnerRow, mut arrival: Arrival) {
        let too_late = self.0.clock.deadline(DRIVER_WITHIN);
        loop {
            arrival = match self.deliver(&row, arrival) {
                None => return,
                Some(arrival) => arrival,
            };
            if row.group.is_none() {
                return self.serve_idle(row, arrival).await;
            }
            // The driver of its run is here and about to adopt it, or elsewhere.
            tokio::select! {
                () = too_late.reached() => {
                    let reason = "the run is driven by another engine".to_owned();
                    return redirect(arrival.link, reason).await;
                }
                () = self.0.clock.sleep(LOOK_EVERY) => {}
            }
            match self.0.store.runners().get(&row.id).await {
                Ok(Some(now)) => row = now,
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Gives a connection to the task that serves its runner; returns it if there is no such task.
    fn deliver(&self, row: &RunnerRow, mut arrival: Arrival) -> Option<Arrival> {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&row.id) else { return Some(arrival) };
        let number = *slot.newest.borrow() + 1;
        arrival.number = number;
        match slot.arrivals.try_send(arrival) {
            Ok(()) => {
                slot.newest.send_replace(number);
                None
            }
            // It connects faster than it is served.
            Err(tokio::sync::mpsc::error::TrySendError::Full(_)) => None,
            Err(tokio::sync::mpsc::error::TrySendError::Closed(arrival)) => {
                slots.remove(&row.id);
                Some(arrival)
            }
        }
    }

    async fn serve_idle(&self, row: RunnerRow, arrival: Arrival) {
        if self.0.closes.load(Ordering::Acquire) {
            return redirect(arrival.link, "this engine stops".to_owned()).await;
        }
        if self.slots().len() >= MAX_RUNNERS {
            let reason = format!("{MAX_RUNNERS} runners are connected");
            return refuse(arrival.link, Denied { code: CloseCode::Overload, reason }).await;
        }
        let lease = self.serve(row, Some(arrival), None);
        self.put_back(lease);
    }
}

/// Closes a connection, with the reason in the protocol and in the WebSocket.
pub(super) async fn refuse(link: Link, denied: Denied) {
    let code = denied.code.number();
    end(link, &ToRunner::Close(denied.code, denied.reason.clone()), code, &denied.reason).await;
}

async fn redirect(link: Link, reason: String) {
    end(link, &ToRunner::Redirect(reason.clone()), SERVICE_RESTART, &reason).await;
}

/// The code of RFC 6455's registry for "connect again".
const SERVICE_RESTART: u16 = 1012;

async fn end(link: Link, last: &ToRunner, code: u16, reason: &str) {
    let Connection { frames, mut write, .. } = link;
    let closed = async {
        if let Ok(frame) = encode(last, MAX_FRAME_BYTES) {
            let _gone = write.write_all(&frame).await;
            let _gone = write.flush().await;
        }
        whole(frames.into_inner(), write).close(code, reason).await;
    };
    let _not_read = tokio::time::timeout(REFUSE_WITHIN, closed).await;
}

fn whole(read: ReadHalf<Socket>, write: WriteHalf<Socket>) -> ByteStream<Box<dyn Transport>> {
    read.unsplit(write)
}
