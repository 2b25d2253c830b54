//! TLS of the listeners and to other nodes: certificate and key from files, which are read again when they change. A pair
//! that cannot be used never replaces one that can. Read [`TlsSettings::load`] first.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::limits::TLS_FILES_EVERY;

/// Where certificate and key are, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate of the node, and those up to its authority.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// Who signs the certificates of operators and nodes; `None`: clients are not asked for one.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// A file is not PEM, or has nothing of the kind.
    #[error("{0} holds no {1} in PEM: {2}")]
    Pem(PathBuf, &'static str, rustls::pki_types::pem::Error),
    /// The key is of a kind that TLS does not use, or belongs to another certificate.
    #[error("the key in {0} cannot be used with the certificate: {1}")]
    Key(PathBuf, rustls::Error),
    /// A file of authorities cannot be used.
    #[error("{0}: {1}")]
    Authorities(PathBuf, String),
}

/// The settings of TLS for every connection of the listeners.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    config: Arc<ServerConfig>,
    served: Arc<Served>,
    files: TlsFiles,
}

/// The pair that new connections get.
#[derive(Debug)]
struct Served(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }
}

/// The node shows other nodes the certificate that it shows its clients.
impl ResolvesClientCert for Served {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Served {
    fn pair(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TlsSettings {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let served = Arc::new(Served(RwLock::new(Arc::new(read(&files)?))));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| TlsError::Key(files.key.clone(), error))?;
        let config = match &files.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let unusable = |why| TlsError::Authorities(path.clone(), why);
                let authorities = Arc::new(authorities(path).map_err(unusable)?);
                // Readers and publishers have none.
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider())
                    .allow_unauthenticated()
                    .build();
                config.with_client_cert_verifier(verifier.map_err(|error| unusable(error.to_string()))?)
            }
        };
        let mut config = config.with_cert_resolver(Arc::clone(&served) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self { config: Arc::new(config), served, files })
    }

    /// Whether operators and nodes need a certificate.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        self.files.client_ca.is_some()
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reads the files again whenever one of them has changed, until the token ends it. By their times and lengths: whoever
    /// swaps a link to a directory (Kubernetes) is seen too.
    pub(crate) async fn keep_current(self, token: CancellationToken) {
        let mut known = stamps(&self.files);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(TLS_FILES_EVERY) => {}
            }
            let now = stamps(&self.files);
            if now == known {
                continue;
            }
            known = now;
            match self.reload() {
                Ok(()) => tracing::info!("the certificate was replaced; open connections keep theirs"),
                Err(error) => {
                    tracing::warn!(%error, "the certificate was not replaced; the node goes on with the one it has");
                }
            }
        }
    }

    fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(read(&self.files)?);
        *self.served.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

/// What the listeners speak inside TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// TLS to other nodes, whose certificates these authorities sign. They are shown the certificate of this node when they
/// ask for one.
///
/// # Errors
/// TLS cannot be set up.
pub(super) fn to_peers(
    authorities: RootCertStore,
    own: Option<&TlsSettings>,
) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities);
    let mut config = match own {
        Some(own) => config.with_client_cert_resolver(Arc::clone(&own.served) as Arc<dyn ResolvesClientCert>),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(config)
}

/// Reads certificate authorities.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn authorities(path: impl AsRef<Path>) -> Result<RootCertStore, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot read it: {error}"))?;
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let added = certificate.map(|certificate| authorities.add(certificate));
        added.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    if authorities.is_empty() {
        return Err("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(authorities)
}

/// Time and length of a file; `None` while it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len()))
    })
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let bytes = |path: &Path| std::fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(&files.certificate)?).collect();
    let no_certificate = |error| TlsError::Pem(files.certificate.clone(), "certificate", error);
    let chain = chain.map_err(no_certificate)?;
    if chain.is_empty() {
        return Err(no_certificate(rustls::pki_types::pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?)
        .map_err(|error| TlsError::Pem(files.key.clone(), "private key", error))?;
    let unusable = |error| TlsError::Key(files.key.clone(), error);
    let pair = CertifiedKey::new(chain, ring::sign::any_supported_type(&key).map_err(unusable)?);
    pair.keys_match().map_err(unusable)?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../tests/tls/cert.pem");
    const KEY: &str = include_str!("../../tests/tls/key.pem");
    /// A key of nobody (RFC 8410, section 10.3).
    const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    fn files(certificate: &str, key: &str) -> (tempfile::TempDir, TlsFiles) {
        let dir = tempfile::tempdir().unwrap();
        let [certificate_path, key_path] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
        let files = TlsFiles { certificate: certificate_path, key: key_path, client_ca: None };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        (dir, files)
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        for (certificate, key, words) in [
            ("", KEY, "cert.pem holds no certificate"),
            (CERTIFICATE, "", "key.pem holds no private key"),
            (KEY, CERTIFICATE, "cert.pem holds no certificate"),
            (CERTIFICATE, OTHER_KEY, "key.pem cannot be used with the certificate"),
        ] {
            let (_dir, files) = files(certificate, key);
            let refused = TlsSettings::load(files).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
            assert!(!refused.contains("MC4CAQ"), "{refused}");
        }
        let (dir, files) = files(CERTIFICATE, KEY);
        TlsSettings::load(files.clone()).unwrap();
        drop(dir);
        let refused = TlsSettings::load(files).unwrap_err().to_string();
        assert!(refused.contains("cannot read") && refused.contains("cert.pem"), "{refused}");
    }

    #[test]
    fn a_pair_that_cannot_be_used_does_not_replace_one_that_can() {
        let (_dir, files) = files(CERTIFICATE, KEY);
        let tls = TlsSettings::load(files.clone()).unwrap();
        let served = || tls.served.pair();
        let first = served();
        std::fs::write(&files.key, OTHER_KEY).unwrap();
        tls.reload().unwrap_err();
        assert!(Arc::ptr_eq(&served(), &first));
        std::fs::write(&files.key, KEY).unwrap();
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&served(), &first));
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_again_when_they_have_changed() {
        let (_dir, files) = files(CERTIFICATE, KEY);
        let tls = TlsSettings::load(files.clone()).unwrap();
        let first = Arc::as_ptr(&tls.served.0.read().unwrap());
        let token = CancellationToken::new();
        let keeping = tokio::task::JoinSet::from_iter([tls.clone().keep_current(token.clone())]);
        tokio::time::sleep(TLS_FILES_EVERY * 2).await;
        assert_eq!(Arc::as_ptr(&tls.served.0.read().unwrap()), first, "nothing has changed");
        std::fs::write(&files.certificate, format!("\n{CERTIFICATE}")).unwrap();
        tokio::time::sleep(TLS_FILES_EVERY * 2).await;
        assert_ne!(Arc::as_ptr(&tls.served.0.read().unwrap()), first);
        token.cancel();
        keeping.join_all().await;
    }
}
