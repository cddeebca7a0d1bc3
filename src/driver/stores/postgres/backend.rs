//! Finds out whether a connection leads to PostgreSQL itself or to a pooler in front of it.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Client;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The process id that the peer announced when the connection was set up. PostgreSQL announces that of its
/// backend; a pooler announces an invented one, since its clients have no backend of their own.
///
/// The client library keeps the id for cancel requests and has no method that returns it, so a cancel request
/// is written to memory here and the id read from it.
pub(super) async fn announced_pid(client: &Client) -> Option<i32> {
    let written = Written::default();
    client.cancel_token().cancel_query_raw(written.clone(), Plain).await.ok()?;
    let bytes = written.0.lock().unwrap_or_else(PoisonError::into_inner);
    // The last message consists of its length, a code, the process id and a key.
    let message = bytes.last_chunk::<16>()?;
    Some(i32::from_be_bytes([message[8], message[9], message[10], message[11]]))
}

/// A stream that keeps the bytes written to it and accepts a request for TLS.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Written {
    fn poll_read(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Written {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A TLS connector that encrypts nothing.
struct Plain;

impl TlsConnect<Written> for Plain {
    type Stream = Written;
    type Error = io::Error;
    type Future = Ready<io::Result<Written>>;

    fn connect(self, stream: Written) -> Self::Future {
        ready(Ok(stream))
    }
}

impl TlsStream for Written {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
