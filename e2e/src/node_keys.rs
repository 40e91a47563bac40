//! The keys by which an operator and a node know each other.

use std::{fs, net::IpAddr, path::Path};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};

use crate::guarded::TRUST_DOMAIN;

/// Certificates and keys, in PEM, of an authority for one operator and the node `n1`.
pub struct NodeKeys {
    /// The authority's certificate.
    pub root: String,
    /// What the operator shows: certificate and key.
    pub server: (String, String),
    /// What the node shows.
    pub node: (String, String),
}

impl NodeKeys {
    /// Makes them for an operator at that address.
    pub fn make(address: IpAddr) -> Result<Self> {
        Self::make_with(SanType::IpAddress(address))
    }

    /// Makes them for an operator by that name.
    pub fn make_for(name: &str) -> Result<Self> {
        Self::make_with(SanType::DnsName(name.try_into()?))
    }

    fn make_with(operator: SanType) -> Result<Self> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = root.self_signed(&key)?.pem();
        let issuer = Issuer::new(root, key);
        let issue = |name: SanType, usage| -> Result<(String, String)> {
            let mut params = CertificateParams::default();
            params.subject_alt_names.push(name);
            params.extended_key_usages.push(usage);
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &issuer)?;
            Ok((certificate.pem(), key.serialize_pem()))
        };
        let node = SanType::URI(format!("spiffe://{TRUST_DOMAIN}/lanyard/node/n1").try_into()?);
        Ok(Self {
            root: certificate,
            server: issue(operator, ExtendedKeyUsagePurpose::ServerAuth)?,
            node: issue(node, ExtendedKeyUsagePurpose::ClientAuth)?,
        })
    }

    /// Writes what a node needs into a folder, as a node agent looks for it.
    pub fn write_node(&self, folder: &Path) -> Result<()> {
        write(folder, &self.root, &self.node)
    }

    /// Writes what an operator needs into a folder.
    pub fn write_server(&self, folder: &Path) -> Result<()> {
        write(folder, &self.root, &self.server)
    }
}

fn write(folder: &Path, root: &str, (certificate, key): &(String, String)) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, content) in [("ca.crt", root), ("tls.crt", certificate), ("tls.key", key)] {
        fs::write(folder.join(name), content)?;
    }
    Ok(())
}
