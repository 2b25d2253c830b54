//! Certificates in PEM files. Read [`Trust::read`] first.

use std::path::{Path, PathBuf};

use super::http::Trust;

/// A file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file is missing or cannot be read.
    #[error("cannot read the certificates in {path:?}")]
    Read {
        /// As the flag or scenario has it.
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is not PEM, or holds no certificate.
    #[error("{path:?} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    Nothing {
        /// As the flag or scenario has it.
        path: PathBuf,
    },
    /// The file is not PEM, or lacks the certificate or its key.
    #[error("{path:?} does not hold a certificate and its private key, both in PEM")]
    NoPair {
        /// As the flag has it.
        path: PathBuf,
    },
}

impl Trust {
    /// Trusts the certificate authorities in a file.
    ///
    /// # Errors
    /// [`CertificateError`] with the path of the file.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        match reqwest::Certificate::from_pem_bundle(&bytes(path)?) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self::Only(certificates)),
            Ok(_) | Err(_) => Err(CertificateError::Nothing { path: path.to_owned() }),
        }
    }
}

/// Reads a client certificate and its private key from one file.
///
/// # Errors
/// [`CertificateError`] with the path of the file.
pub fn read_identity(path: &Path) -> Result<reqwest::Identity, CertificateError> {
    reqwest::Identity::from_pem(&bytes(path)?).map_err(|_| CertificateError::NoPair { path: path.to_owned() })
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_what_it_must_hold_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pem");
        let errors = || {
            let trust = Trust::read(&path).map(|_| ()).unwrap_err().to_string();
            [trust, read_identity(&path).map(|_| ()).unwrap_err().to_string()]
        };
        assert!(errors().iter().all(|error| error.contains("cannot read") && error.contains("x.pem")));
        for text in ["", "not a certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).unwrap();
            let [trust, identity] = errors();
            assert!(
                trust.contains("no certificate") && identity.contains("does not hold"),
                "{text:?}: {trust}"
            );
        }
        let ours = [env!("CARGO_MANIFEST_DIR"), "/tests/tls/other.pem"].concat();
        assert!(matches!(Trust::read(Path::new(&ours)), Ok(Trust::Only(list)) if list.len() == 1));
        read_identity(Path::new(&ours)).unwrap();
    }
}
