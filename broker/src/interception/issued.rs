//! One intermediate certificate, and the certificates it signed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use lanyard_access::host::DnsName;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use super::InterceptionError;

/// How long before its end a certificate begins. The intermediate, which lasts less, bounds both sides.
const LIFE: Duration = Duration::days(90);

/// What the node agent signed.
pub(super) struct Signed {
    pub(super) names: BTreeSet<DnsName>,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) not_after: i64,
    pub(super) renew_at: Timestamp,
}

/// How one name is spoken for: without HTTP/2, and with it.
#[derive(Clone)]
struct Configs {
    http1: Arc<ServerConfig>,
    both: Arc<ServerConfig>,
}

impl Configs {
    fn of(&self, http2: bool) -> Arc<ServerConfig> {
        Arc::clone(if http2 { &self.both } else { &self.http1 })
    }
}

/// An intermediate for a set of names.
pub(super) struct Issued {
    pub(super) names: BTreeSet<DnsName>,
    /// When to ask for the next, on the boot clock.
    pub(super) renew_at: Timestamp,
    provider: Arc<CryptoProvider>,
    key: Arc<KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: OffsetDateTime,
    leaf: Arc<KeyPair>,
    configs: Mutex<BTreeMap<DnsName, Configs>>,
}

impl Issued {
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        key: Arc<KeyPair>,
        leaf: Arc<KeyPair>,
        signed: Signed,
    ) -> Result<Self, InterceptionError> {
        // The root follows in the chain; clients have it, and TLS lets it be left out (RFC 8446, 4.4.2).
        let certificate = signed.chain.into_iter().next();
        let certificate = CertificateDer::from(certificate.ok_or(InterceptionError::EmptyChain)?);
        Issuer::from_ca_cert_der(&certificate, &*key).map_err(InterceptionError::Intermediate)?;
        let not_after = OffsetDateTime::from_unix_timestamp(signed.not_after)
            .map_err(|_| InterceptionError::Intermediate(rcgen::Error::Time))?;
        Ok(Self {
            names: signed.names,
            renew_at: signed.renew_at,
            provider: Arc::clone(provider),
            key,
            certificate,
            not_after,
            leaf,
            configs: Mutex::default(),
        })
    }

    /// The configuration that serves that name, and offers HTTP/2 or not; made once.
    pub(super) fn config(
        &self,
        name: &DnsName,
        http2: bool,
    ) -> Result<Arc<ServerConfig>, InterceptionError> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = configs.get(name) {
            return Ok(known.of(http2));
        }
        let http1 = self.make_config(name)?;
        let mut both = http1.clone();
        both.alpn_protocols.insert(0, b"h2".to_vec());
        let made = Configs {
            http1: Arc::new(http1),
            both: Arc::new(both),
        };
        let config = made.of(http2);
        configs.insert(name.clone(), made);
        Ok(config)
    }

    fn make_config(&self, name: &DnsName) -> Result<ServerConfig, InterceptionError> {
        let used = |error| InterceptionError::Use(name.clone(), error);
        let chain = vec![self.mint(name)?, self.certificate.clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.leaf.serialize_der()));
        let certified = CertifiedKey::from_der(chain, key, &self.provider).map_err(used)?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(used)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OneName {
                name: name.clone(),
                certified: Arc::new(certified),
            }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Nothing is kept of a connection after its end.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn mint(&self, name: &DnsName) -> Result<CertificateDer<'static>, InterceptionError> {
        let minted = |error| InterceptionError::Leaf(name.clone(), error);
        let mut params = CertificateParams::new([name.as_str().to_owned()]).map_err(minted)?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Lanyard broker");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = self.not_after - LIFE;
        params.not_after = self.not_after;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &*self.key).map_err(minted)?;
        let certificate = params.signed_by(&*self.leaf, &issuer).map_err(minted)?;
        Ok(certificate.der().clone())
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issued")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Serves one name: that of the virtual address the client connected to. A client that asks for another is
/// refused with an alert; one that asks for none checks the name for itself.
#[derive(Debug)]
struct OneName {
    name: DnsName,
    certified: Arc<CertifiedKey>,
}

impl ResolvesServerCert for OneName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = match hello.server_name() {
            None => true,
            Some(asked) => asked.parse::<DnsName>().as_ref() == Ok(&self.name),
        };
        fits.then(|| Arc::clone(&self.certified))
    }
}
