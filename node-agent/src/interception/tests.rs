use std::{net::Ipv4Addr, sync::Arc, time::Duration as Span};

use rcgen::{IsCa, Issuer, KeyPair, PublicKeyData as _, SanType};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const NAME: &str = "api.example.com";

/// A broker that was taken over: it has its key, and signs what it likes.
struct Hostile {
    root: CertificateDer<'static>,
    intermediate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Hostile {
    /// Of a scope with one name.
    fn new() -> Self {
        let root = ScopeRoot::generate("7", NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = [NAME.parse().unwrap()];
        let public = key.subject_public_key_info();
        let signed = root.sign_intermediate(&public, &names, NOW).unwrap();
        assert_eq!(signed.not_after, NOW + 24 * HOUR);
        let [intermediate, root] = <[Vec<u8>; 2]>::try_from(signed.chain).unwrap();
        let intermediate = CertificateDer::from(intermediate);
        let issuer = Issuer::from_ca_cert_der(&intermediate, key).unwrap();
        Self {
            root: root.into(),
            intermediate,
            issuer,
        }
    }

    /// A certificate of its own at those names, for longer than it lives itself.
    fn leaf(&self, names: Vec<SanType>) -> CertificateDer<'static> {
        sign(&self.issuer, names, IsCa::ExplicitNoCa).0
    }

    /// What a client says that knows the scope's root alone.
    fn presents(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &str,
        at: i64,
    ) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let name = ServerName::try_from(name).unwrap();
        let at = UnixTime::since_unix_epoch(Span::from_secs(at.try_into().unwrap()));
        let client = client.build().unwrap();
        let verified = client.verify_server_cert(leaf, between, &name, &[], at);
        verified.map(drop).map_err(|error| format!("{error:?}"))
    }
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    names: Vec<SanType>,
    is_ca: IsCa,
) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = authority("a certificate", NOW, ROOT_LIFE).unwrap();
    if is_ca == IsCa::ExplicitNoCa {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    params.subject_alt_names = names;
    params.is_ca = is_ca;
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), key)
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn an_intermediate_speaks_for_the_names_of_its_scope_and_for_nothing_else() {
    let broker = Hostile::new();
    let between = [broker.intermediate.clone()];
    let presents = |name: &str, names| broker.presents(&broker.leaf(names), &between, name, NOW);
    assert_eq!(presents(NAME, vec![dns(NAME)]), Ok(()));
    let address = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    for (name, names) in [
        ("other.example.com", vec![dns("other.example.com")]),
        ("example.com", vec![dns("example.com")]),
        ("notapi.example.com", vec![dns("notapi.example.com")]),
        // Beside the name that it may speak for.
        (NAME, vec![dns(NAME), dns("other.example.com")]),
        ("127.0.0.1", vec![address]),
    ] {
        let refused = presents(name, names).unwrap_err();
        assert!(
            refused.contains("NameConstraintViolation"),
            "{name}: {refused}"
        );
    }
}

#[test]
fn an_intermediate_lives_for_a_day() {
    let broker = Hostile::new();
    let (leaf, between) = (broker.leaf(vec![dns(NAME)]), [broker.intermediate.clone()]);
    let presents = |at| broker.presents(&leaf, &between, NAME, at);
    assert_eq!(presents(NOW - HOUR + 1), Ok(()));
    assert_eq!(presents(NOW + 24 * HOUR - 1), Ok(()));
    let early = presents(NOW - HOUR - 1).unwrap_err();
    assert!(early.contains("NotValidYet"), "{early}");
    let late = presents(NOW + 24 * HOUR + 1).unwrap_err();
    assert!(late.contains("Expired"), "{late}");
}

/// Or its broker could hand out what outlives it.
#[test]
fn an_intermediate_makes_no_further_one() {
    let broker = Hostile::new();
    let unconstrained = IsCa::Ca(BasicConstraints::Unconstrained);
    let (further, key) = sign(&broker.issuer, Vec::new(), unconstrained);
    let issuer = Issuer::from_ca_cert_der(&further, key).unwrap();
    let (leaf, _) = sign(&issuer, vec![dns(NAME)], IsCa::ExplicitNoCa);
    let between = [further, broker.intermediate.clone()];
    let refused = broker.presents(&leaf, &between, NAME, NOW).unwrap_err();
    assert!(refused.contains("PathLenConstraintViolated"), "{refused}");
}

#[test]
fn a_scope_without_names_has_no_intermediate() {
    let root = ScopeRoot::generate("7", NOW).unwrap();
    let key = KeyPair::generate().unwrap().subject_public_key_info();
    let signed = root.sign_intermediate(&key, &[], NOW);
    assert!(matches!(signed, Err(InterceptionError::NoNames)));
}
