//! Channel binding of SCRAM to the TLS session: `tls-server-end-point` of RFC 5929, section 4.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};

/// The hash of the server's certificate, with the hash function of its signature, or SHA-256 if that is
/// weaker. `None` for signatures with SHA-512, Ed25519 or RSA-PSS, for which SCRAM then uses no channel
/// binding.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let suite = match signature_algorithm(certificate)? {
        // RSA and ECDSA with MD5, SHA-1 and SHA-256.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04 | 0x05 | 0x0b]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => TLS13_AES_128_GCM_SHA256,
        // RSA and ECDSA with SHA-384.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => TLS13_AES_256_GCM_SHA384,
        _ => return None,
    };
    // rustls offers its hash functions only through the cipher suites that use them.
    let SupportedCipherSuite::Tls13(suite) = suite else { return None };
    Some(suite.common.hash_provider.hash(certificate).as_ref().to_vec())
}

/// The object identifier of the signature algorithm: a certificate is `SEQUENCE { tbsCertificate, SEQUENCE {
/// OBJECT IDENTIFIER, … }, … }` (RFC 5280, section 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (content, _) = element(SEQUENCE, certificate)?;
    let (_, rest) = element(SEQUENCE, content)?;
    let (algorithm, _) = element(SEQUENCE, rest)?;
    Some(element(OBJECT_IDENTIFIER, algorithm)?.0)
}

/// The content of the DER element at the start of `bytes`, and the bytes after it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest structure that has a signature algorithm.
    fn certificate(oid: &[u8]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let algorithm = element(0x30, &element(0x06, oid));
        element(0x30, &[element(0x30, &[1; 100]), algorithm, vec![3, 1, 0]].concat())
    }

    #[test]
    fn the_hash_function_is_that_of_the_signature() {
        let length = |oid: &[u8]| end_point(&certificate(oid)).map(|hash| hash.len());
        assert_eq!(length(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05]), Some(32), "SHA-1");
        assert_eq!(length(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]), Some(32));
        assert_eq!(length(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]), Some(32));
        assert_eq!(length(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]), Some(48));
        assert_eq!(length(&[0x2b, 0x65, 0x70]), None, "Ed25519 has none");
    }

    #[test]
    fn an_invalid_certificate_has_no_end_point() {
        let whole = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);
        for length in 0..whole.len() {
            assert_eq!(end_point(&whole[..length]), None, "{length}");
        }
        assert_eq!(end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
    }
}
