//! The authority of those that intercept, and the certificate of those that only end TLS.

use std::path::PathBuf;

use anyhow::Result;
use lanyard_e2e::{scenes::Stage, service::NAME};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files of the lab, all PEM.
pub(crate) struct Authority {
    /// Its certificate.
    pub(crate) certificate: PathBuf,
    /// Its key, PKCS#8.
    pub(crate) key: PathBuf,
    /// Certificate and key, in one file.
    pub(crate) both: PathBuf,
    /// Certificate of the service's name, and its key, in one file.
    pub(crate) name: PathBuf,
    /// What clients trust: it, and the service's own.
    pub(crate) roots: PathBuf,
}

impl Authority {
    /// Makes it.
    pub(crate) fn make(stage: &Stage) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of peers");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let (certificate, private) = (params.self_signed(&key)?.pem(), key.serialize_pem());
        let issuer = Issuer::new(params, key);
        let name_key = KeyPair::generate()?;
        let name = CertificateParams::new([NAME.to_owned()])?.signed_by(&name_key, &issuer)?;
        let name = name.pem() + &name_key.serialize_pem();
        let roots = certificate.clone() + &stage.service.authority;
        let lab = &stage.lab;
        Ok(Self {
            both: lab.write("peers/authority.both.pem", private.clone() + &certificate)?,
            certificate: lab.write("peers/authority.pem", certificate)?,
            key: lab.write("peers/authority.key", private)?,
            name: lab.write("peers/name.pem", name)?,
            roots: lab.write("peers/roots.pem", roots)?,
        })
    }
}
