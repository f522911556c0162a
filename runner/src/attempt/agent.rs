//! The runner's end of the socket to an agent's attendant: sends orders, receives replies.
//!
//! Orders that wait are bounded here, replies by the attempt, which reads only within its budget. Must
//! not execute anything.

use std::{io, os::unix::net, sync::Arc};

use plue_runtime::{Task, Tasks, mask::Secrets};
use plue_wire::{
    Splitter, encode,
    eval::Bytes,
    runner::{AgentOrder, EventKind, MAX_FRAME_BYTES, ToolResult},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use crate::agent::{MAX_REPLY_FRAME_BYTES, Reply};

/// Orders of one attempt that wait for its attendant.
const MAX_ORDERS: usize = 16 * 1024;
/// Bytes of the orders of one attempt that wait for its attendant.
const MAX_ORDER_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of replies that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// An order on its way, with the room that it takes.
type Queued = (Vec<u8>, Option<OwnedSemaphorePermit>);

/// The queue of orders from the dispatcher to one attempt.
#[derive(Debug)]
pub(crate) struct OrderSender {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// The receiving end of an [`OrderSender`].
#[derive(Debug)]
pub(crate) struct Orders(mpsc::Receiver<Queued>);

/// The runner's end of the socket to the attendant of one attempt.
#[derive(Debug)]
pub(crate) struct AgentLink {
    read: Option<OwnedReadHalf>,
    splitter: Splitter,
    secrets: Secrets,
    _writing: Task<()>,
}

/// Opens the queue of orders to one attempt.
pub(crate) fn orders() -> (OrderSender, Orders) {
    // One slot is reserved for the end.
    let (queue, orders) = mpsc::channel(MAX_ORDERS + 1);
    (OrderSender { queue, room: Arc::new(Semaphore::new(MAX_ORDER_BYTES)) }, Orders(orders))
}

// === impl OrderSender ===

impl OrderSender {
    /// Queues an order; returns the event that replaces one for which there is no room. Does not
    /// wait.
    pub(crate) fn send(&self, order: AgentOrder) -> Option<EventKind> {
        let Ok(frame) = encode(&order, MAX_FRAME_BYTES) else {
            return refused(order);
        };
        let is_end = matches!(order, AgentOrder::End { .. });
        if !is_end && self.queue.capacity() <= 1 {
            return refused(order);
        }
        let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok();
        if permit.is_none() && !is_end {
            return refused(order);
        }
        // A full queue has its end; an attempt that is over wants no order.
        let _late = self.queue.try_send((frame, permit));
        None
    }
}

fn refused(order: AgentOrder) -> Option<EventKind> {
    match order {
        AgentOrder::Call(call) => {
            let why = "not executed: too many tool calls wait for this agent";
            let content = Bytes(why.as_bytes().to_vec());
            Some(EventKind::Tool(ToolResult { id: call.id, content, is_error: true }))
        }
        AgentOrder::Print(text) => Some(EventKind::Gap {
            bytes: text.0.len() as u64,
            reason: "too much text waits for this agent".to_owned(),
        }),
        AgentOrder::End { .. } => None,
    }
}

// === impl AgentLink ===

impl AgentLink {
    /// Takes a socket over; `prelude` goes before the orders. Must run on a Tokio runtime.
    pub(crate) fn new(
        socket: net::UnixStream,
        prelude: Vec<u8>,
        orders: Orders,
        secrets: Secrets,
        tasks: &Tasks,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (read, write) = UnixStream::from_std(socket)?.into_split();
        Ok(Self {
            read: Some(read),
            splitter: Splitter::new(MAX_REPLY_FRAME_BYTES),
            secrets,
            _writing: tasks.owned("agent orders", write_orders(write, prelude, orders)),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.read.is_some()
    }

    /// Waits until there is something to read; for ever when closed. Cancel-safe.
    pub(super) async fn readable(link: Option<&Self>) {
        match link.and_then(|link| link.read.as_ref()) {
            // An error shows again in the read that follows.
            Some(read) => drop(read.readable().await),
            None => std::future::pending().await,
        }
    }

    /// The replies that are there, masked; at most about one buffer of them.
    pub(super) fn read(&mut self) -> Vec<EventKind> {
        let Some(read) = &self.read else { return Vec::new() };
        let mut piece = Vec::with_capacity(READ_BYTES);
        match read.try_read_buf(&mut piece) {
            Ok(0) => self.read = None,
            Ok(_) => self.splitter.buffer().extend_from_slice(&piece),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.read = None,
        }
        self.replies()
    }

    /// The rest, after the end of the attendant.
    pub(super) fn finish(&mut self) -> Vec<EventKind> {
        let mut found = Vec::new();
        while let Some(read) = self.read.take() {
            let mut piece = Vec::with_capacity(READ_BYTES);
            match read.try_read_buf(&mut piece) {
                Ok(count) if count > 0 => {
                    self.splitter.buffer().extend_from_slice(&piece);
                    self.read = Some(read);
                    found.extend(self.replies());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.read = Some(read),
                Ok(_) | Err(_) => {}
            }
        }
        found
    }

    fn replies(&mut self) -> Vec<EventKind> {
        let mut found = Vec::new();
        loop {
            match self.splitter.next_frame::<Reply>() {
                Ok(Some(reply)) => found.push(EventKind::Tool(reply.masked(&self.secrets))),
                Ok(None) => return found,
                // Out of step: the stream is damaged.
                Err(_) => {
                    self.read = None;
                    return found;
                }
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Writes until the attendant is gone.
async fn write_orders(mut write: OwnedWriteHalf, prelude: Vec<u8>, Orders(mut orders): Orders) {
    let mut written = write.write_all(&prelude).await;
    while written.is_ok()
        && let Some((frame, _room)) = orders.recv().await
    {
        written = write.write_all(&frame).await;
    }
    // Dropping this half would signal the attendant that the runner is gone.
    if written.is_ok() {
        std::future::pending::<()>().await;
    }
}
