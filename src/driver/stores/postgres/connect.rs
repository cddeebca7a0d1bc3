//! Connects to a server of the URL on which leases can be written, and serves the connection.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{ChannelBinding as Binding, SslMode as Encryption};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, Notification, Socket};

use super::cancel::{self, Peer};
use super::config::{ChannelBinding, PostgresUrl, Server, SslMode};
use super::fault::{self, Fault, Refusal};
use super::passfile::{self, Account};
use super::setup::{self, ServerInfo};
use super::tls::{Encrypted, Handshake, Tls, find_error};
use crate::core::lease::Failure;
use crate::driver::host::descriptor_limit;
use crate::driver::stores::StoreError;

/// An event of a session that is not the answer to a statement.
#[derive(Debug)]
pub(super) enum SessionEvent {
    /// A notification on a channel that the session listens on.
    Notification(Notification),
    /// The connection has ended, for this reason. The last event; not sent after [`Session::close`] or a
    /// drop.
    Closed(StoreError),
}

/// An open connection with the task that serves it. Dropping it closes the connection at once.
pub(super) struct Session {
    /// Sends statements.
    pub client: Client,
    /// The server of the connection.
    pub server: ServerInfo,
    url: Arc<PostgresUrl>,
    closed: Arc<OnceLock<StoreError>>,
    peer: Peer,
    handshake: Handshake,
    service: Service,
}

/// The task that serves the connection. It is aborted when this is dropped, since a hanging server must not
/// keep it alive.
struct Service(JoinHandle<()>);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// The reason why the connection has ended; `None` while it seems open.
    pub(super) fn closed(&self) -> Option<StoreError> {
        let reason = self.closed.get().cloned();
        let over = self.client.is_closed() || self.service.0.is_finished();
        reason.or_else(|| over.then(|| fault::ended(&self.url, None)))
    }

    /// Classifies the error of a statement. `asked` completes "cannot …".
    pub(super) fn fault(&self, asked: &str, error: &Error) -> Fault {
        fault::statement(&self.url, asked, error, self.closed.get())
    }

    /// Gives the session up, and for at most `patience` asks the server to cancel its statement: one that
    /// waits for a lock would keep its backend. No answer may be read after that: a cancelled wait for a
    /// synchronous standby ends as if the standby had confirmed.
    pub(super) async fn give_up(self, patience: Duration) {
        let token = self.client.cancel_token();
        let _ = timeout(patience, cancel::request(&token, &self.peer, self.handshake.clone())).await;
    }

    /// Closes the session in an orderly way, for at most `patience`, so that the server need not detect a
    /// broken connection.
    pub(super) async fn close(self, patience: Duration) {
        let Session { client, mut service, .. } = self;
        drop(client);
        let _ = timeout(patience, &mut service.0).await;
    }
}

/// Connects to the first usable server, trying the servers of the URL in order and all addresses of each.
/// Takes `budget` at most: each attempt gets an equal share of the remaining time, limited by
/// `connect_timeout`. `events` is called from the runtime's threads and must not block.
///
/// Must be called in a tokio runtime, which must run as long as the session is used.
///
/// # Errors
/// When no server can be used: one line with each server tried and the reason. [`Failure::Refused`] if every
/// server refused permanently, else [`Failure::Unsent`].
pub(super) async fn connect(
    url: &PostgresUrl,
    budget: Duration,
    events: impl Fn(SessionEvent) + Send + 'static,
) -> Result<Session, StoreError> {
    let url = Arc::new(url.clone());
    let needs_tls = url.servers.iter().any(|server| !server.is_socket());
    let tls = if needs_tls { Tls::new(&url.tls) } else { Ok(Tls::none()) };
    let tls = tls.map_err(|why| match descriptor_limit::exhausted(IN_A_FOLDER) {
        Some(advice) => StoreError::new(Failure::Unsent, format!("{url}: {why}: {advice}")),
        None => StoreError::new(Failure::Refused, format!("{url}: {why}")),
    })?;
    let mut search = Search { url: &url, tls, deadline: Instant::now() + budget, tried: Vec::new() };
    match search.run().await {
        Some(Found { client, server, connection, peer, host }) => {
            let closed = Arc::new(OnceLock::new());
            let serving = serve(connection, Arc::clone(&url), Arc::clone(&closed), events);
            let service = Service(tokio::spawn(serving));
            let ServerInfo { endpoint, backend_pid, pooled, .. } = &server;
            tracing::debug!(store = %url, server = %endpoint, pid = backend_pid, pooled, "connected");
            let handshake = search.tls.handshake(&host);
            Ok(Session { client, server, url, closed, peer, handshake, service })
        }
        None => Err(search.failed()),
    }
}

/// Descriptors that reading a directory of certificates or a name lookup needs at once.
const IN_A_FOLDER: usize = 4;

type Link = Connection<Socket, Encrypted>;

/// A connection that is set up but not served yet.
struct Found {
    client: Client,
    server: ServerInfo,
    connection: Link,
    peer: Peer,
    /// The server's host name, for TLS.
    host: String,
}

struct Search<'a> {
    url: &'a PostgresUrl,
    tls: Tls,
    deadline: Instant,
    /// The servers tried so far, each with the reason why it was not used.
    tried: Vec<(String, Refusal)>,
}

impl Search<'_> {
    async fn run(&mut self) -> Option<Found> {
        for (at, server) in self.url.servers.iter().enumerate() {
            let servers_left = self.url.servers.len() - at;
            let addresses = match self.resolve(server, servers_left).await {
                Ok(addresses) => addresses,
                Err(refusal) => {
                    self.tried.push((server.to_string(), refusal));
                    continue;
                }
            };
            for (at, address) in addresses.iter().enumerate() {
                let attempts_left = addresses.len() - at + servers_left - 1;
                let limit = self.share(attempts_left);
                let endpoint = match address {
                    Some(ip) if ip.to_string() != server.host => format!("{server} ({ip})"),
                    _ => server.to_string(),
                };
                let attempt = self.attempt(server, *address, &endpoint);
                let refusal = match timeout(limit, attempt).await {
                    Ok(Ok(found)) => return Some(found),
                    Ok(Err(refusal)) => refusal,
                    Err(_) => no_answer(limit),
                };
                let is_final = is_same_for_all_servers(&refusal);
                self.tried.push((endpoint, refusal));
                if is_final {
                    return None;
                }
            }
        }
        None
    }

    /// The time for the next attempt, if `attempts_left` remain.
    fn share(&self, attempts_left: usize) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(attempts_left.max(1)).unwrap_or(u32::MAX);
        self.url.connect_timeout.map_or(share, |limit| limit.min(share))
    }

    /// The addresses of a server; `None` stands for a Unix socket.
    async fn resolve(&self, server: &Server, servers_left: usize) -> Result<Vec<Option<IpAddr>>, Refusal> {
        if server.is_socket() {
            return Ok(vec![None]);
        }
        if let Some(address) = server.address {
            return Ok(vec![Some(address)]);
        }
        let unknown = |found: String| Refusal { failure: Failure::Unsent, why: found, code: None };
        let limit = self.share(servers_left);
        let looked_up = timeout(limit, tokio::net::lookup_host((server.host.as_str(), server.port))).await;
        let found: Vec<_> = match looked_up {
            Err(_) => return Err(no_answer(limit)),
            Ok(Err(error)) => {
                let advice = descriptor_limit::exhausted(IN_A_FOLDER).unwrap_or("check it");
                return Err(unknown(format!("the host's name has no address ({error}); {advice}")));
            }
            Ok(Ok(found)) => found.map(|address| Some(address.ip())).collect(),
        };
        if found.is_empty() { Err(unknown("the host's name has no address".to_owned())) } else { Ok(found) }
    }

    /// Connects to one address, and sets up the session if the server can be used.
    async fn attempt(
        &self,
        server: &Server,
        address: Option<IpAddr>,
        endpoint: &str,
    ) -> Result<Found, Refusal> {
        // The connection needs a descriptor, and so does the password file before it.
        if let Some(advice) = descriptor_limit::exhausted(1) {
            return Err(Refusal { failure: Failure::Unsent, why: advice.to_owned(), code: None });
        }
        let config = configure(self.url, server, address);
        let encryption = match self.url.tls.mode {
            // As in libpq, connections through a Unix socket are not encrypted.
            _ if server.is_socket() => Encryption::Disable,
            SslMode::Disable => Encryption::Disable,
            SslMode::Prefer => Encryption::Prefer,
            _ => Encryption::Require,
        };
        let connected = config.clone().ssl_mode(encryption).connect(self.tls.clone()).await;
        let connected = match connected {
            Err(error) if encryption == Encryption::Prefer && may_go_without(&error) => {
                config.clone().ssl_mode(Encryption::Disable).connect(self.tls.clone()).await
            }
            connected => connected,
        };
        let (client, mut connection) = connected.map_err(|error| fault::connecting(self.url, &error))?;
        let setup = setup::prepare(self.url, &client, endpoint);
        let info = while_served(&mut connection, setup, self.url).await?;
        let peer = match address {
            Some(ip) => Peer::Tcp((ip, server.port).into()),
            None => Peer::in_directory(&server.host, server.port),
        };
        Ok(Found { client, server: info, connection, peer, host: server.host.clone() })
    }

    fn failed(&mut self) -> StoreError {
        let for_good = self.tried.iter().all(|(_, refusal)| refusal.failure == Failure::Refused)
            || self.tried.last().is_some_and(|(_, refusal)| is_same_for_all_servers(refusal));
        let failure = if for_good { Failure::Refused } else { Failure::Unsent };
        let reasons: Vec<String> =
            self.tried.iter().map(|(endpoint, refusal)| format!("{endpoint}: {}", refusal.why)).collect();
        StoreError::new(failure, format!("{}: cannot connect to {}", self.url, reasons.join("; then ")))
    }
}

/// Whether every server would refuse for the same reason, such as a wrong password. As in libpq, the other
/// servers are then not tried, since repeated failures may lock the account.
fn is_same_for_all_servers(refusal: &Refusal) -> bool {
    refusal.failure == Failure::Refused && refusal.code.is_some()
}

/// Whether `sslmode=prefer` tries again without TLS: if the handshake failed, or the server accepts this
/// account only without TLS (`hostnossl`).
fn may_go_without(error: &Error) -> bool {
    find_error(error).is_some() || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

fn no_answer(limit: Duration) -> Refusal {
    let why = format!("no answer within {} ms; check the address and the firewall", limit.as_millis());
    Refusal { failure: Failure::Unsent, why, code: None }
}

/// The settings of a connection, without those for encryption.
fn configure(url: &PostgresUrl, server: &Server, address: Option<IpAddr>) -> Config {
    let mut config = Config::new();
    config.user(&url.user).dbname(&url.database).application_name(&url.application_name);
    config.host(&server.host).port(server.port);
    if let Some(address) = address {
        config.hostaddr(address);
    }
    if let Some(password) = url.password.clone().or_else(|| password_in_file(url, server)) {
        config.password(password);
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    config.channel_binding(match url.channel_binding {
        ChannelBinding::Disable => Binding::Disable,
        ChannelBinding::Prefer => Binding::Prefer,
        ChannelBinding::Require => Binding::Require,
    });
    config.keepalives(url.keepalives.is_some());
    if let Some(keepalives) = &url.keepalives {
        config.keepalives_idle(keepalives.idle);
        config.keepalives_interval(keepalives.interval).keepalives_retries(keepalives.count);
    }
    if let Some(limit) = url.tcp_user_timeout {
        config.tcp_user_timeout(limit);
    }
    config
}

fn password_in_file(url: &PostgresUrl, server: &Server) -> Option<String> {
    let hosts: &[&str] =
        if server.is_socket() { &[server.host.as_str(), "localhost"] } else { &[server.host.as_str()] };
    let account = Account { hosts, port: server.port, database: &url.database, user: &url.user };
    passfile::find(url.passfile.as_deref()?, &account)
}

/// Waits for `work` and serves the connection meanwhile, which `work` needs.
async fn while_served<T>(
    connection: &mut Link,
    work: impl Future<Output = Result<T, Refusal>>,
    url: &PostgresUrl,
) -> Result<T, Refusal> {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| {
        if let std::task::Poll::Ready(done) = work.as_mut().poll(context) {
            return std::task::Poll::Ready(done);
        }
        while let std::task::Poll::Ready(message) = connection.poll_message(context) {
            match message {
                Some(Ok(_)) => {}
                Some(Err(error)) => return std::task::Poll::Ready(Err(fault::connecting(url, &error))),
                None => {
                    let why = "the connection was closed while it was set up".to_owned();
                    let refusal = Refusal { failure: Failure::Unsent, why, code: None };
                    return std::task::Poll::Ready(Err(refusal));
                }
            }
        }
        // Serving the connection may have completed `work`.
        work.as_mut().poll(context)
    })
    .await
}

/// Serves the connection until it ends, and stores the reason in `closed`.
async fn serve(
    mut connection: Link,
    url: Arc<PostgresUrl>,
    closed: Arc<OnceLock<StoreError>>,
    events: impl Fn(SessionEvent) + Send + 'static,
) {
    let reason = loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                events(SessionEvent::Notification(notification));
            }
            // The answer that follows looks like a success, but the commit may be lost.
            Some(Ok(AsyncMessage::Notice(notice))) if notice.routine() == Some("SyncRepWaitForLSN") => {
                break fault::not_replicated(&url, &notice);
            }
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::debug!(store = %url, "the server says: {}", fault::one_line(notice.message()));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break fault::ended(&url, Some(&error)),
            // The client was dropped.
            None => return,
        }
    };
    tracing::debug!(store = %url, %reason, "the connection ended");
    // Set before the connection is dropped: that ends the statements that wait for answers, and they read the
    // reason.
    let _ = closed.set(reason.clone());
    drop(connection);
    events(SessionEvent::Closed(reason));
}
