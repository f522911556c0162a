//! WebSocket connections (RFC 6455) as byte streams: binary messages in both directions, whose
//! boundaries mean nothing.
//!
//! Must not interpret the bytes, and must not buffer more than one message of the peer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Sink as _, SinkExt as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Bytes, Error as WsError, Message,
        client::IntoClientRequest as _,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Bytes of one message that is sent.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Bytes of one message that is accepted.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Bytes of a close reason; a control frame has at most 125 with its code.
const MAX_REASON_BYTES: usize = 120;

/// The version of the protocol, for the header `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// A WebSocket as a byte stream. A `Close` of the peer is the end of the stream.
#[derive(Debug)]
pub struct ByteStream<S> {
    socket: WebSocketStream<S>,
    /// The rest of the last message.
    unread: Bytes,
    /// The transport has not taken everything that was written.
    is_unflushed: bool,
}

/// The value of `Sec-WebSocket-Accept` for a client's key.
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// The server's side of an upgraded connection.
pub async fn server<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> ByteStream<S> {
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
    ByteStream { socket, unread: Bytes::new(), is_unflushed: false }
}

/// Upgrades a connection to a server. `url` names host and path: `ws://HOST/PATH`.
///
/// # Errors
/// The server does not answer with an upgrade; its status is in the message.
pub async fn client<S: AsyncRead + AsyncWrite + Unpin>(
    url: &str,
    stream: S,
) -> io::Result<ByteStream<S>> {
    let request = url.into_client_request().map_err(broken)?;
    let upgraded = client_async_with_config(request, stream, Some(config())).await;
    let (socket, _response) = upgraded.map_err(broken)?;
    Ok(ByteStream { socket, unread: Bytes::new(), is_unflushed: false })
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        // Every message is written at once: the caller has batched it.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_MESSAGE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}

// === impl ByteStream ===

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// Closes the connection with a code of the application, 4000 to 4999.
    pub async fn close(mut self, code: u16, reason: &str) {
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        let reason = reason.get(..end).unwrap_or_default().into();
        let frame = CloseFrame { code: CloseCode::from(code), reason };
        let _peer_is_gone = self.socket.close(Some(frame)).await;
    }

    fn poll_unflushed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            ready!(self.socket.poll_flush_unpin(context)).map_err(broken)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A reader drives the rest of earlier writes: a writer with nothing to add does not.
        if let Poll::Ready(Err(error)) = self.poll_unflushed(context) {
            return Poll::Ready(Err(error));
        }
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    self.is_unflushed = true;
                }
                Some(Ok(Message::Text(_))) => {
                    let kind = io::ErrorKind::InvalidData;
                    return Poll::Ready(Err(io::Error::new(kind, "a text message")));
                }
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let some = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(some));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unflushed(context))?;
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(broken)?;
        let some = bytes.get(..bytes.len().min(MESSAGE_BYTES)).unwrap_or_default();
        let message = Message::Binary(Bytes::copy_from_slice(some));
        Pin::new(&mut self.socket).start_send(message).map_err(broken)?;
        self.is_unflushed = true;
        if let Poll::Ready(Err(error)) = self.poll_unflushed(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_unflushed(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(context)) {
            Ok(()) | Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }
}

fn broken(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Both sides over a transport that takes `room` bytes at a time.
    async fn pair(
        room: usize,
    ) -> (ByteStream<tokio::io::DuplexStream>, ByteStream<tokio::io::DuplexStream>) {
        let (near, far) = duplex(room);
        let left = WebSocketStream::from_raw_socket(near, Role::Client, Some(config())).await;
        let left = ByteStream { socket: left, unread: Bytes::new(), is_unflushed: false };
        (left, server(far).await)
    }

    #[tokio::test]
    async fn bytes_arrive_in_order() {
        let (mut left, mut right) = pair(1_000).await;
        let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let (written, got) = tokio::join!(
            async {
                left.write_all(&copy).await.unwrap();
                // The reader drives what the transport has not taken.
                let mut rest = Vec::new();
                left.read_to_end(&mut rest).await.map(|_| rest)
            },
            async {
                let mut got = vec![0; sent.len()];
                right.read_exact(&mut got).await.unwrap();
                right.write_all(b"thanks").await.unwrap();
                right.flush().await.unwrap();
                right.close(4409, "superseded").await;
                got
            }
        );
        assert_eq!(got, sent);
        assert_eq!(written.unwrap(), b"thanks");
    }

    #[tokio::test]
    async fn text_ends_the_stream() {
        let (mut left, mut right) = pair(1_000).await;
        left.socket.send(Message::text("hello")).await.unwrap();
        let error = right.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn messages_over_the_limit_are_refused() {
        let (near, far) = duplex(4 * MAX_MESSAGE_BYTES);
        let open = WebSocketConfig::default();
        let mut left = WebSocketStream::from_raw_socket(near, Role::Client, Some(open)).await;
        let mut right = server(far).await;
        left.send(Message::binary(vec![0; MAX_MESSAGE_BYTES + 1])).await.unwrap();
        assert!(right.read_u8().await.is_err());
    }
}
