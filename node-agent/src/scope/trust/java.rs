//! Java's own format of roots (JKS, `sun.security.provider.JavaKeyStore`): read without a password, where
//! PKCS#12 would need one.

use rustls_pki_types::CertificateDer;
use sha1::{Digest as _, Sha1};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;

/// The password that the world uses for files without secrets. `keytool` asks for it; Java itself does not.
const PASSWORD: &str = "changeit";

/// What the format mixes into its checksum.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// A file that makes a Java trust those certificates.
pub(super) fn truststore(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut file = Vec::new();
    put(&mut file, MAGIC);
    put(&mut file, VERSION);
    put(&mut file, length(certificates.len()));
    for (number, certificate) in certificates.iter().enumerate() {
        put(&mut file, TRUSTED_CERTIFICATE);
        put_text(&mut file, &format!("lanyard-{number}"));
        // When it was added, in milliseconds: nobody asks.
        file.extend_from_slice(&[0; 8]);
        put_text(&mut file, "X.509");
        put(&mut file, length(certificate.len()));
        file.extend_from_slice(certificate);
    }
    let mut checksum = Sha1::new();
    for unit in PASSWORD.encode_utf16() {
        checksum.update(unit.to_be_bytes());
    }
    checksum.update(WHITENER);
    checksum.update(&file);
    file.extend_from_slice(&checksum.finalize());
    file
}

fn put(file: &mut Vec<u8>, number: u32) {
    file.extend_from_slice(&number.to_be_bytes());
}

/// ASCII, which is its own form of Java's modified UTF-8.
fn put_text(file: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    file.extend_from_slice(&length.to_be_bytes());
    file.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_a_store_made_by_keytool() {
        let certificate = CertificateDer::from(vec![0x30, 0x00]);
        let file = truststore(&[certificate]);
        let expected = [
            &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2][..],
            b"\0\x09lanyard-0",
            &[0; 8],
            b"\0\x05X.509",
            &[0, 0, 0, 2, 0x30, 0],
        ]
        .concat();
        assert_eq!(file[..file.len() - 20], expected);
    }
}
