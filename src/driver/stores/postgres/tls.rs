//! TLS with rustls, according to `sslmode`.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::binding;
use super::config::{RootCert, SslMode, TlsOptions};
use super::verify::{ChainOnly, Unverified};

/// The TLS configuration of a store; `None` for `sslmode=disable`.
#[derive(Clone)]
pub(super) struct Tls(Option<Arc<ClientConfig>>);

impl Tls {
    /// No TLS.
    pub(super) fn none() -> Tls {
        Tls(None)
    }

    /// Reads the certificates that `options` names. The error is one line.
    pub(super) fn new(options: &TlsOptions) -> Result<Tls, String> {
        if options.mode == SslMode::Disable {
            return Ok(Tls::none());
        }
        let provider = Arc::new(ring::default_provider());
        let broken = |error: rustls::Error| format!("TLS cannot be set up ({error})");
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(broken)?
            .dangerous()
            .with_custom_certificate_verifier(verifier(options, provider)?);
        let config = match client_certificate(options)? {
            None => builder.with_no_client_auth(),
            Some((path, chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                let found = format!("the client certificate {} cannot be used ({error})", path.display());
                format!("{found}; give the key that belongs to it with sslkey")
            })?,
        };
        Ok(Tls(Some(Arc::new(config))))
    }
}

/// The path of the file that libpq uses by default, if it exists.
fn default_file(options: &TlsOptions, name: &str) -> Option<PathBuf> {
    options.defaults.as_ref().map(|directory| directory.join(name)).filter(|path| path.exists())
}

/// The trusted root certificates; `None` if every certificate is accepted.
fn trusted(options: &TlsOptions) -> Option<RootCert> {
    let named = options.roots.clone();
    let found = named.or_else(|| default_file(options, "root.crt").map(RootCert::File));
    match options.mode {
        // Verifying would be useless: an attacker who intercepts the connection can also force it to go
        // without TLS.
        SslMode::Disable | SslMode::Prefer => None,
        // As in libpq, root certificates are used if there are any.
        SslMode::Require => found,
        SslMode::VerifyCa | SslMode::VerifyFull => Some(found.unwrap_or(RootCert::System)),
    }
}

fn verifier(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let Some(trusted) = trusted(options) else { return Ok(Arc::new(Unverified::new(&provider))) };
    let roots = Arc::new(match &trusted {
        RootCert::File(path) => roots_in(path)?,
        RootCert::System => roots_of_the_system()?,
    });
    if options.mode != SslMode::VerifyFull {
        return Ok(Arc::new(ChainOnly::new(roots, &provider)));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    verifier.map(|verifier| verifier as _).map_err(|error| format!("TLS cannot be set up ({error})"))
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("sslrootcert", path)? {
        roots.add(certificate).map_err(|error| {
            let found = format!("sslrootcert {} has a certificate that cannot be read", path.display());
            format!("{found} ({error}); give X.509 version 3 certificates in PEM form")
        })?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(format!("the system has no trusted certificates{why}; give a file with sslrootcert"));
    }
    Ok(roots)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(key, path, &error))?;
    if certificates.is_empty() {
        let found = format!("{key} {} holds no certificate", path.display());
        return Err(format!("{found}; give a file in PEM form (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

fn unreadable(key: &str, path: &Path, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::Io(error) => {
            format!("{key} {path} cannot be read ({error}); check its path and permissions")
        }
        pem::Error::NoItemsFound => {
            format!("{key} {path} holds no private key; give one in PEM form that is not encrypted")
        }
        error => format!("{key} {path} is no PEM file ({error}); give one"),
    }
}

type ClientCertificate = (PathBuf, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(options: &TlsOptions) -> Result<Option<ClientCertificate>, String> {
    let path = options.certificate.clone().or_else(|| default_file(options, "postgresql.crt"));
    let Some(path) = path else { return Ok(None) };
    let key = options.key.clone().or_else(|| default_file(options, "postgresql.key"));
    let key = key.ok_or_else(|| format!("sslcert {} has no key; give it with sslkey", path.display()))?;
    let chain = certificates("sslcert", &path)?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| unreadable("sslkey", &key, &error))?;
    Ok(Some((path, chain, key)))
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        Ok(self.handshake(host))
    }
}

impl Tls {
    /// One handshake, with the server of this name.
    pub(super) fn handshake(&self, host: &str) -> Handshake {
        Handshake { config: self.0.clone(), host: host.to_owned() }
    }
}

/// One handshake, with the server of this name.
#[derive(Clone)]
pub(super) struct Handshake {
    config: Option<Arc<ClientConfig>>,
    host: String,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, socket: S) -> Self::Future {
        Box::pin(async move {
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
            let config = self.config.ok_or_else(|| invalid("TLS is switched off".to_owned()))?;
            let name = ServerName::try_from(self.host).map_err(|error| invalid(error.to_string()))?;
            TlsConnector::from(config).connect(name, socket).await.map(|stream| Encrypted(Box::new(stream)))
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted<S = Socket>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let bound = certificates.and_then(<[_]>::first).and_then(|first| binding::end_point(first));
        bound.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}

/// The TLS error that caused this error, if one did. In TLS 1.3 a server rejects a client certificate only
/// after the handshake, so the error is wrapped in an I/O error.
pub(super) fn find_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// The message for a TLS error, in one line: which certificate is wrong, why, and what to do.
pub(super) fn explain(options: &TlsOptions, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => explain_certificate(options, problem),
        rustls::Error::AlertReceived(alert) => explain_alert(options, *alert),
        error => format!("TLS failed ({error}); does the server speak TLS 1.2 or 1.3?"),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn explain_certificate(options: &TlsOptions, problem: &CertificateError) -> String {
    use CertificateError as Problem;
    let found = match problem {
        Problem::Expired | Problem::ExpiredContext { .. } => "has expired; have it renewed".to_owned(),
        Problem::NotValidYet | Problem::NotValidYetContext { .. } => {
            "is not valid yet; compare this machine's clock with the server's".to_owned()
        }
        // A wrong signature means another issuer with the same name.
        Problem::UnknownIssuer | Problem::BadSignature => {
            let among = match trusted(options) {
                Some(RootCert::File(path)) => format!("the certificates in {}", path.display()),
                _ => "those that the system trusts".to_owned(),
            };
            format!("was not issued by any of {among}; give its issuer's certificate with sslrootcert")
        }
        Problem::NotValidForNameContext { expected, presented } => format!(
            "is not for {:?} but for {}; connect to a name that is in it, or give sslmode=verify-ca",
            expected.to_str(),
            names(presented)
        ),
        Problem::NotValidForName => {
            "is for another name; connect to a name that is in it, or give sslmode=verify-ca".to_owned()
        }
        Problem::Revoked => "was revoked; have a new one issued".to_owned(),
        Problem::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "is that of a certificate authority; have it issue one for the server".to_owned()
        }
        other => format!("cannot be verified ({other}); have it reissued, as X.509 version 3"),
    };
    format!("the server's certificate {found}")
}

/// The names of a certificate, which rustls formats as `DnsName("db.example")` and `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let inner = |name: &String| {
        let (_, inner) = name.split_once('(').unwrap_or(("", name));
        inner.trim_matches([')', '"']).to_owned()
    };
    match presented {
        [] => "no name at all".to_owned(),
        names => names.iter().map(inner).collect::<Vec<_>>().join(", "),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
fn explain_alert(options: &TlsOptions, alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let gave = options.certificate.is_some() || default_file(options, "postgresql.crt").is_some();
    match alert {
        Alert::CertificateRequired | Alert::HandshakeFailure if !gave => {
            "the server asks for a client certificate; give one with sslcert and sslkey".to_owned()
        }
        Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown | Alert::DecryptError
            if gave =>
        {
            format!(
                "the server does not accept our client certificate ({alert:?}); give one that its CA issued"
            )
        }
        Alert::CertificateExpired => "our client certificate has expired; have it renewed".to_owned(),
        alert => format!("the server broke off TLS ({alert:?}); see its log"),
    }
}

#[cfg(test)]
mod tests;
