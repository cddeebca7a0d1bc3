//! Cancel requests: ask a server to stop the statement of a connection that was given up.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::tls::{Encrypted, Handshake};

/// The address of a connection's peer, for the connection of a cancel request.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(std::net::SocketAddr),
    Socket(std::path::PathBuf),
}

impl Peer {
    /// The Unix socket of the server with this port, in this directory.
    pub(super) fn in_directory(directory: &str, port: u16) -> Peer {
        Peer::Socket(Path::new(directory).join(format!(".s.PGSQL.{port}")))
    }
}

/// Sends a cancel request, and waits until the server has received it, which it signals by closing the
/// connection, as libpq does. PgBouncer 1.18 terminates if the client closes this connection first.
pub(super) async fn request(token: &CancelToken, peer: &Peer, handshake: Handshake) {
    // Errors are ignored: the server's own limits end the statement.
    match peer {
        Peer::Tcp(address) => {
            if let Ok(stream) = TcpStream::connect(address).await {
                send(token, stream, handshake).await;
            }
        }
        Peer::Socket(path) => {
            if let Ok(stream) = UnixStream::connect(path).await {
                send(token, stream, handshake).await;
            }
        }
    }
}

async fn send<S>(token: &CancelToken, stream: S, handshake: Handshake)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let _ = token.cancel_query_raw(ClosedByPeer(stream), TlsClosedByPeer(handshake)).await;
}

/// A stream whose shutdown waits until the peer has closed the connection.
struct ClosedByPeer<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for ClosedByPeer<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClosedByPeer<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// The TLS handshake for a [`ClosedByPeer`] stream. That wraps the TLS stream, since TLS would otherwise send
/// its close alert first.
struct TlsClosedByPeer(Handshake);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> TlsConnect<S> for TlsClosedByPeer {
    type Stream = ClosedByPeer<Encrypted<S>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.0.connect(stream).await.map(ClosedByPeer) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for ClosedByPeer<Encrypted<S>> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_shutdown_waits_until_the_peer_has_closed_the_connection() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let closing = tokio::spawn(async move {
            let mut stream = ClosedByPeer(ours);
            stream.write_all(b"stop").await.unwrap();
            stream.shutdown().await
        });
        let mut received = [0; 4];
        theirs.read_exact(&mut received).await.unwrap();
        let after = std::time::Duration::from_millis(100);
        let more = tokio::time::timeout(after, theirs.read(&mut received)).await;
        assert!(more.is_err() && !closing.is_finished(), "it is still open");
        drop(theirs);
        closing.await.unwrap().unwrap();
    }
}
