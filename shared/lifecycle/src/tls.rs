use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Gives the process its cryptography, for drivers that ask for it and panic where there are two to
/// choose from. The first call counts.
pub fn provide_cryptography() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// What the second file is called.
const KEY: &str = "TLS key";
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Certificate and key of a listener, read again when the files change.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

struct Current {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    pair: RwLock<Arc<CertifiedKey>>,
}

/// The certificate or the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("the {what} `{}` cannot be read: {reason}", file.display())]
    File {
        /// `TLS certificate` or `TLS key`.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key is not that of the certificate.
    #[error("the TLS key `{}` is not that of the certificate `{}`: {reason}", key.display(), certificate.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// The protocol versions are not supported.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// Whether the key is to blame, rather than the certificate.
    pub fn is_of_key(&self) -> bool {
        match self {
            Self::File { what, .. } => *what == KEY,
            Self::Pair { .. } => true,
            Self::Setup(_) => false,
        }
    }
}

impl Tls {
    /// Reads a chain of certificates and the key of its first one, both in PEM.
    pub fn load(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = read(&certificate, &key, &provider)?;
        let current = Arc::new(Current {
            certificate,
            key,
            provider: Arc::clone(&provider),
            pair: RwLock::new(pair),
        });
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
        })
    }

    /// Reads the files again; what is in force stays when they cannot be used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let current = &*self.current;
        let pair = read(&current.certificate, &current.key, &current.provider)?;
        *current.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads the files again whenever they change, until told to stop.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        let mut known = self.changed().await;
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_some()
        {
            let changed = self.changed().await;
            if changed == known {
                continue;
            }
            known = changed;
            let file = self.current.certificate.display();
            match self.reload() {
                Ok(()) => tracing::info!("read the certificate `{file}` again"),
                Err(error) => {
                    tracing::error!(error = %error, "the old certificate stays in force");
                }
            }
        }
    }

    /// When the files were last changed.
    async fn changed(&self) -> [Option<SystemTime>; 2] {
        let of = async |file: &Path| tokio::fs::metadata(file).await.ok()?.modified().ok();
        [
            of(&self.current.certificate).await,
            of(&self.current.key).await,
        ]
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let file = |what, file: &Path, reason: String| TlsError::File {
        what,
        file: file.to_owned(),
        reason,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| file("TLS certificate", certificate, error.to_string()))?;
    if chain.is_empty() {
        let reason = "it holds no certificate in PEM".to_owned();
        return Err(file("TLS certificate", certificate, reason));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| file(KEY, key, error.to_string()))?;
    let pair = CertifiedKey::from_der(chain, secret, provider).map_err(|error| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(pair))
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.pair.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&pair))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls")
            .field(&self.current.certificate)
            .finish()
    }
}
