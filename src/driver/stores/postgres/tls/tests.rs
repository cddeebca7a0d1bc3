use rustls::{Error, InconsistentKeys};

use super::*;

fn options(mode: SslMode, roots: Option<RootCert>, defaults: Option<&Path>) -> TlsOptions {
    TlsOptions { mode, roots, certificate: None, key: None, defaults: defaults.map(Path::to_owned) }
}

#[test]
fn the_trusted_roots_depend_on_the_mode_and_on_the_files_that_exist() {
    let empty = tempfile::tempdir().unwrap();
    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("root.crt"), "").unwrap();
    let default = Some(RootCert::File(full.path().join("root.crt")));
    let named = Some(RootCert::File("/ca.pem".into()));
    let system = Some(RootCert::System);
    let cases = [
        (SslMode::Prefer, named.clone(), full.path(), None),
        (SslMode::Require, None, empty.path(), None),
        (SslMode::Require, None, full.path(), default.clone()),
        (SslMode::Require, named.clone(), empty.path(), named.clone()),
        (SslMode::VerifyCa, None, empty.path(), system.clone()),
        (SslMode::VerifyFull, None, full.path(), default),
        (SslMode::VerifyFull, named.clone(), full.path(), named),
        (SslMode::VerifyFull, system.clone(), full.path(), system),
    ];
    for (mode, roots, directory, expected) in cases {
        assert_eq!(trusted(&options(mode, roots.clone(), Some(directory))), expected, "{mode:?} {roots:?}");
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let refusal = |path: &Path| {
        let roots = Some(RootCert::File(path.to_owned()));
        Tls::new(&options(SslMode::VerifyFull, roots, None)).err().unwrap()
    };
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (path, expected) in [
        (directory.path().join("absent"), "cannot be read"),
        (file("empty", ""), "holds no certificate"),
        (file("garbage", garbage), "has a certificate that cannot be read"),
        (file("broken", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), "is no PEM file"),
    ] {
        let refusal = refusal(&path);
        let name = format!("sslrootcert {}", path.display());
        assert!(refusal.starts_with(&name) && refusal.contains(expected), "{refusal}");
        assert!(!refusal.contains('\n'), "{refusal}");
    }
    let mut lonely = options(SslMode::Require, None, Some(directory.path()));
    lonely.certificate = Some(file("client", ""));
    assert!(Tls::new(&lonely).err().unwrap().contains("has no key"));
}

#[test]
fn every_explanation_says_what_to_do() {
    let given = TlsOptions {
        certificate: Some("/client.pem".into()),
        ..options(SslMode::VerifyFull, Some(RootCert::File("/ca.pem".into())), None)
    };
    let none = options(SslMode::VerifyFull, Some(RootCert::System), None);
    let invalid = Error::InvalidCertificate;
    let expected = ServerName::try_from("db.test").unwrap();
    let other_name = CertificateError::NotValidForNameContext { expected, presented: Vec::new() };
    let cases = [
        (&given, invalid(CertificateError::Expired), "has expired; have it renewed"),
        (&given, invalid(CertificateError::NotValidYet), "clock"),
        (&given, invalid(CertificateError::UnknownIssuer), "/ca.pem; give its issuer's"),
        (&none, invalid(CertificateError::UnknownIssuer), "that the system trusts"),
        (&given, invalid(other_name), "not for \"db.test\" but for no name at all; connect to"),
        (&given, invalid(CertificateError::Revoked), "was revoked"),
        (&given, invalid(CertificateError::BadEncoding), "reissued"),
        (&none, Error::AlertReceived(AlertDescription::CertificateRequired), "give one with sslcert"),
        (&given, Error::AlertReceived(AlertDescription::UnknownCA), "give one that its CA issued"),
        (&given, Error::AlertReceived(AlertDescription::CertificateExpired), "have it renewed"),
        (&given, Error::AlertReceived(AlertDescription::InternalError), "see its log"),
        (&given, Error::InconsistentKeys(InconsistentKeys::Unknown), "TLS 1.2 or 1.3"),
    ];
    for (options, error, expected) in cases {
        let explanation = explain(options, &error);
        assert!(explanation.contains(expected) && !explanation.contains('\n'), "{error:?}: {explanation}");
    }
}

#[test]
fn names_of_a_certificate_are_formatted_plainly() {
    let names = names(&["DnsName(\"a.test\")".into(), "IpAddress(10.0.0.1)".into(), "other".into()]);
    assert_eq!(names, "a.test, 10.0.0.1, other");
}
