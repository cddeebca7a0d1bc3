//! Asking a server to stop what it does for a connection that was given up.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::tls::{Encrypted, Handshake};

/// The other end of a connection, for one more to it.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(std::net::SocketAddr),
    Socket(std::path::PathBuf),
}

impl Peer {
    /// The socket of the server with this port, in this directory.
    pub(super) fn in_directory(directory: &str, port: u16) -> Peer {
        Peer::Socket(Path::new(directory).join(format!(".s.PGSQL.{port}")))
    }
}

/// Asks the server to stop, and waits until it has heard it, which it shows by closing the connection. As
/// libpq does; PgBouncer 1.18 ends itself when such a connection is closed from this side before.
pub(super) async fn request(token: &CancelToken, peer: &Peer, handshake: Handshake) {
    // If it cannot be told, its own limits end the statement.
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

/// Closing it is left to the other side, and waited for.
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

/// The same with TLS: its own farewell would be a close from this side too.
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
    async fn a_shutdown_waits_for_the_other_side_and_closes_nothing_before() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let closing = tokio::spawn(async move {
            let mut stream = ClosedByPeer(ours);
            stream.write_all(b"stop").await.unwrap();
            stream.shutdown().await
        });
        let mut heard = [0; 4];
        theirs.read_exact(&mut heard).await.unwrap();
        let after = std::time::Duration::from_millis(100);
        let more = tokio::time::timeout(after, theirs.read(&mut heard)).await;
        assert!(more.is_err() && !closing.is_finished(), "it is still open");
        drop(theirs);
        closing.await.unwrap().unwrap();
    }
}
