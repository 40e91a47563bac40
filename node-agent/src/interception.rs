//! A scope's own root, and the short-lived intermediates that its broker works with.
//!
//! The root stays with the node agent, so that bundles that programs loaded at their start stay good when a
//! broker is started anew. The intermediate may speak for the scope's names alone: Java ignores such a
//! constraint on a root and honours it on an intermediate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lanyard_access::host::DnsName;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SubjectPublicKeyInfo,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// Why a certificate was not made.
#[derive(Debug, Error)]
pub enum InterceptionError {
    /// The library refused.
    #[error("{attempt}: {source}")]
    Certificate {
        /// What was attempted.
        attempt: &'static str,
        /// What the library said.
        source: rcgen::Error,
    },
    /// A scope without names: a certificate without constraints would speak for everything.
    #[error("the scope has no names to speak for")]
    NoNames,
    /// What was kept is no certificate.
    #[error("the kept certificate of a scope's root is damaged")]
    Kept,
    /// A moment beyond the calendar.
    #[error("the clock is beyond the calendar")]
    Clock,
}

fn failed(attempt: &'static str) -> impl FnOnce(rcgen::Error) -> InterceptionError {
    move |source| InterceptionError::Certificate { attempt, source }
}

/// A scope's root.
pub struct ScopeRoot {
    scope: String,
    key: Zeroizing<String>,
    certificate: String,
}

/// What a broker gets.
pub struct Intermediate {
    /// DER of the intermediate, then of the root.
    pub chain: Vec<Vec<u8>>,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// A scope lives for days at most; its root for longer than any.
const ROOT_LIFE: Duration = Duration::days(90);
/// A broker asks anew before this runs out.
const INTERMEDIATE_LIFE: Duration = Duration::hours(24);
/// Clients' clocks may be a little behind.
const BACKDATED: Duration = Duration::hours(1);

impl ScopeRoot {
    /// Makes a root for `scope` at `now`, in seconds since 1970.
    pub fn generate(scope: &str, now: i64) -> Result<Self, InterceptionError> {
        let key = KeyPair::generate().map_err(failed("make the key of a scope's root"))?;
        let mut params = root_params(scope, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let certificate = params
            .self_signed(&key)
            .map_err(failed("make the certificate of a scope's root"))?;
        let (scope, key) = (scope.to_owned(), Zeroizing::new(key.serialize_pem()));
        Ok(Self {
            scope,
            key,
            certificate: certificate.pem(),
        })
    }

    /// Takes up a root that was kept.
    pub fn from_pem(scope: String, key: Zeroizing<String>, certificate: String) -> Self {
        Self {
            scope,
            key,
            certificate,
        }
    }

    /// The certificate, for the scope's bundle.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The key, to be kept where only root reads it.
    pub fn key_pem(&self) -> &Zeroizing<String> {
        &self.key
    }

    /// Signs an intermediate for the broker's own key, which speaks for `names` and nothing else.
    pub fn sign_intermediate(
        &self,
        public_key: &[u8],
        names: &[DnsName],
        now: i64,
    ) -> Result<Intermediate, InterceptionError> {
        if names.is_empty() {
            return Err(InterceptionError::NoNames);
        }
        let key = KeyPair::from_pem(&self.key).map_err(failed("read the key of a scope's root"))?;
        let root = Issuer::new(root_params(&self.scope, now)?, key);
        let public_key = SubjectPublicKeyInfo::from_der(public_key)
            .map_err(failed("read the broker's public key"))?;
        let mut params = authority("Lanyard broker", now, INTERMEDIATE_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: names
                .iter()
                .map(|name| GeneralSubtree::DnsName(name.to_string()))
                .collect(),
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    0,
                )),
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                    0,
                )),
            ],
        });
        params.use_authority_key_identifier_extension = true;
        let not_after = params.not_after.unix_timestamp();
        let certificate = params
            .signed_by(&public_key, &root)
            .map_err(failed("sign a broker's intermediate"))?;
        let root = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let root = root.map_err(|_| InterceptionError::Kept)?.to_vec();
        Ok(Intermediate {
            chain: vec![certificate.der().to_vec(), root],
            not_after,
        })
    }
}

/// The name of a root is all that an intermediate takes from these.
fn root_params(scope: &str, now: i64) -> Result<CertificateParams, InterceptionError> {
    authority(&format!("Lanyard scope {scope}"), now, ROOT_LIFE)
}

fn authority(name: &str, now: i64, life: Duration) -> Result<CertificateParams, InterceptionError> {
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(|_| InterceptionError::Clock)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - BACKDATED;
    params.not_after = now + life;
    Ok(params)
}

#[cfg(test)]
mod tests;
