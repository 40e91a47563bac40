//! What makes programs of a scope trust its root: files in its folder, and the variables that lead each runtime
//! to them. All files are root's, and everybody may read them.

mod java;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{ScopeError, file};

/// Where distributions keep the roots that everybody trusts.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

const BUNDLE: &str = "bundle.pem";
const JAVA: &str = "truststore.jks";
const WGET: &str = "wgetrc";
/// A folder, since PHP reads folders.
const PHP: &str = "php";
const PHP_FILE: &str = "lanyard.ini";

/// How many certificates a caller may add, and how long they are together.
const ADDED: usize = 1024;

/// Variables that name a file of PEM certificates, each with who reads it. Some replace the roots that the
/// program has, some add to them: the file has all.
const OF_BUNDLE: [&str; 14] = [
    // OpenSSL, and with it Python's ssl and aiohttp, Ruby, PHP's streams; Go; rustls-native-certs; Bun
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    // Python's requests and httpx, boto3
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CODEX_CA_CERTIFICATE",
    "HEX_CACERTS_PATH",
    "BUNDLE_SSL_CA_CERT",
    "LANYARD_TRUST_BUNDLE",
];

/// What becomes of what the caller has in a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// It is replaced.
    Replaced,
    /// It comes first.
    Before,
}

/// A variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value, where the caller has none.
    pub value: String,
    /// What becomes of the caller's own.
    pub own: Own,
}

/// The variables that lead to the files in a scope's folder.
pub fn variables(folder: &Path) -> Vec<Variable> {
    let at = |name: &str| folder.join(name).display().to_string();
    let bundle = at(BUNDLE);
    let replaced = |name, value| Variable {
        name,
        value,
        own: Own::Replaced,
    };
    let mut variables: Vec<Variable> = OF_BUNDLE.map(|name| replaced(name, bundle.clone())).into();
    // wget of GnuTLS has no variable but that of its configuration.
    variables.push(replaced("WGETRC", at(WGET)));
    variables.push(Variable {
        name: "JAVA_TOOL_OPTIONS",
        // The last of two counts, and with a store of the caller's own nothing that is granted would be trusted.
        value: format!(" -Djavax.net.ssl.trustStore={}", at(JAVA)),
        own: Own::Before,
    });
    variables.push(Variable {
        // What is empty before the colon stands for the folder that was compiled in.
        name: "PHP_INI_SCAN_DIR",
        value: format!(":{}", at(PHP)),
        own: Own::Before,
    });
    variables
}

/// Variables among those that change what a program loads, as Lanyard itself writes them: they lead to roots and
/// to no code.
pub fn harmless(folder: &Path) -> Vec<String> {
    let loads = |variable: &Variable| variable.own != Own::Replaced;
    variables(folder)
        .iter()
        .filter(|variable| loads(variable))
        .map(|Variable { name, value, .. }| format!("{name}={value}"))
        .collect()
}

/// The file with all certificates.
pub fn bundle(folder: &Path) -> PathBuf {
    folder.join(BUNDLE)
}

/// Whether the files are there.
pub fn is_written(folder: &Path) -> bool {
    folder.join(BUNDLE).exists() && folder.join(JAVA).exists()
}

/// Writes the files, which programs see in the folder `shown`: the scope's root, the machine's roots, and what the caller
/// trusts beside (PEM; what is no certificate in it is left out).
pub fn write(folder: &Path, shown: &Path, root: &str, added: &str) -> Result<(), ScopeError> {
    let system = SYSTEM_ROOTS
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    let certificates = certificates(&[root, added, &system]);
    let php = folder.join(PHP);
    fs::create_dir_all(&php).map_err(|source| file("make", &php, source))?;
    let bundle = folder.join(BUNDLE);
    let named = shown.join(BUNDLE);
    let named = named.display();
    let files: [(&Path, Vec<u8>); 4] = [
        (&bundle, pem(&certificates).into_bytes()),
        (&folder.join(JAVA), java::truststore(&certificates)),
        (
            &folder.join(WGET),
            format!("ca_certificate = {named}\n").into_bytes(),
        ),
        (
            &php.join(PHP_FILE),
            format!("curl.cainfo=\"{named}\"\nopenssl.cafile=\"{named}\"\n").into_bytes(),
        ),
    ];
    for (path, content) in files {
        fs::write(path, content).map_err(|source| file("write", path, source))?;
    }
    Ok(())
}

/// Each certificate once, in order; of the caller's no more than a bundle has.
fn certificates(texts: &[&str]) -> Vec<CertificateDer<'static>> {
    let mut all: Vec<CertificateDer<'static>> = Vec::new();
    for text in texts {
        let found = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok);
        for certificate in found.take(ADDED) {
            if !all.contains(&certificate) {
                all.push(certificate);
            }
        }
    }
    all
}

fn pem(certificates: &[CertificateDer<'_>]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut text = String::new();
    for certificate in certificates {
        text += "-----BEGIN CERTIFICATE-----\n";
        let encoded = STANDARD.encode(certificate);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            text += line;
            text.push('\n');
            rest = more;
        }
        text += "-----END CERTIFICATE-----\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interception::ScopeRoot;

    #[test]
    fn the_files_hold_the_roots_of_scope_machine_and_caller_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let root = ScopeRoot::generate("7", 1_800_000_000).unwrap();
        let other = ScopeRoot::generate("other", 1_800_000_000).unwrap();
        let added = format!(
            "# a comment\n{}{}\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            other.certificate_pem(),
            root.certificate_pem()
        );
        let shown = Path::new("/shown");
        write(folder.path(), shown, root.certificate_pem(), &added).unwrap();
        let bundle = fs::read_to_string(folder.path().join(BUNDLE)).unwrap();
        assert!(bundle.starts_with(&root.certificate_pem().replace("\r\n", "\n")));
        assert_eq!(bundle.matches("PRIVATE KEY").count(), 0);
        let count = certificates(&[&bundle]).len();
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), count);
        assert!(count >= 2);
        let wget = fs::read_to_string(folder.path().join(WGET)).unwrap();
        assert_eq!(wget, "ca_certificate = /shown/bundle.pem\n");
    }

    #[test]
    fn what_leads_to_roots_is_told_from_what_loads_code() {
        let harmless = harmless(Path::new("/run/lanyard/local/scopes/7"));
        assert_eq!(
            harmless,
            [
                "JAVA_TOOL_OPTIONS= -Djavax.net.ssl.trustStore=/run/lanyard/local/scopes/7/truststore.jks",
                "PHP_INI_SCAN_DIR=:/run/lanyard/local/scopes/7/php",
            ]
        );
        for text in harmless {
            let name = text.split('=').next().unwrap();
            assert!(crate::loader::VARIABLES.contains(&name), "{name}");
        }
    }
}
