//! What signs a lab's certificates, and all that it signs.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use super::{API_SERVER, FRONT_PROXY, TO_KUBELETS, User, kubelet};
use crate::cluster::place::{Node, Place};

/// Known to nobody but its lab.
pub(super) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
struct Leaf {
    certificate: String,
    key: String,
}

impl Authority {
    pub(super) fn make() -> Result<Self> {
        let key = KeyPair::generate().context("make the key of a lab's authority")?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "lanyard-lab");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key).context("sign an authority")?;
        Ok(Self {
            certificate: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Every file of a lab's keys, by name.
    pub(super) fn files(&self, place: Place) -> Result<Vec<(String, String)>> {
        let accounts = KeyPair::generate().context("make the key of service accounts")?;
        let mut files = vec![
            ("authority.crt".to_owned(), self.certificate.clone()),
            (
                "authority.key".to_owned(),
                self.issuer.key().serialize_pem(),
            ),
            ("service-accounts.key".to_owned(), accounts.serialize_pem()),
            ("service-accounts.pub".to_owned(), accounts.public_key_pem()),
        ];
        for (name, leaf) in self.leaves(place)? {
            files.push((format!("{name}.crt"), leaf.certificate));
            files.push((format!("{name}.key"), leaf.key));
        }
        for user in User::all(place) {
            let (name, group) = user.name();
            let leaf = self.leaf(&name, group, &[], &[])?;
            let content = self.kubeconfig(place, &leaf);
            files.push((format!("{}.kubeconfig", user.file()), content));
        }
        Ok(files)
    }

    /// What is shown by servers, and by the API server as a client.
    fn leaves(&self, place: Place) -> Result<Vec<(String, Leaf)>> {
        let api_names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let api_addresses = [
            Ipv4Addr::LOCALHOST,
            place.node(1).address(),
            place.api_service(),
        ];
        let masters = Some("system:masters");
        let mut leaves = vec![
            (
                API_SERVER.to_owned(),
                self.leaf(API_SERVER, None, &api_names, &api_addresses)?,
            ),
            (
                TO_KUBELETS.to_owned(),
                self.leaf("kube-apiserver-kubelet-client", masters, &[], &[])?,
            ),
            (
                FRONT_PROXY.to_owned(),
                self.leaf(FRONT_PROXY, None, &[], &[])?,
            ),
        ];
        for node in (1..=Node::MOST).map(|index| place.node(index)) {
            let name = node.name();
            let leaf = self.leaf(&name, None, &[&name], &[node.address()])?;
            leaves.push((kubelet(node), leaf));
        }
        Ok(leaves)
    }

    fn leaf(
        &self,
        name: &str,
        group: Option<&str>,
        names: &[&str],
        addresses: &[Ipv4Addr],
    ) -> Result<Leaf> {
        let key = KeyPair::generate().context("make a key")?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).context("name a server")?;
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        let addresses = addresses.iter().map(|address| IpAddr::V4(*address));
        params
            .subject_alt_names
            .extend(addresses.map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("sign {name}"))?;
        Ok(Leaf {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// JSON, which is YAML too.
    fn kubeconfig(&self, place: Place, leaf: &Leaf) -> String {
        let encoded = |text: &str| STANDARD.encode(text);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "lab", "cluster": {
                "server": place.api(),
                "certificate-authority-data": encoded(&self.certificate),
            }}],
            "users": [{ "name": "lab", "user": {
                "client-certificate-data": encoded(&leaf.certificate),
                "client-key-data": encoded(&leaf.key),
            }}],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
            "current-context": "lab",
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_and_every_user_has_what_it_needs() {
        let place = Place::OF_TESTS;
        let files = Authority::make().unwrap().files(place).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "authority.crt",
            "service-accounts.key",
            "kubelet-n4.crt",
            "n4.kubeconfig",
            "admin.kubeconfig",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_kubeconfig_leads_to_its_lab() {
        let authority = Authority::make().unwrap();
        let leaf = authority.leaf("someone", None, &[], &[]).unwrap();
        let text = authority.kubeconfig(Place::OF_TESTS, &leaf);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read["clusters"][0]["cluster"]["server"],
            "https://198.18.9.2:6443"
        );
    }
}
