//! The certificates that a run accepts, read once before anything is started. Read [`read`] first.

use std::path::PathBuf;

use crate::bench::scenario::Tls;
use crate::client::Trust;

/// The CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
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
}

/// Reads the CA file, if there is one.
///
/// # Errors
/// [`TrustError`] with the path of the file.
pub fn read(tls: &Tls) -> Result<Trust, TrustError> {
    let path = match tls {
        Tls { insecure: true, .. } => return Ok(Trust::Anybody),
        Tls { ca: None, .. } => return Ok(Trust::System),
        Tls { ca: Some(path), .. } => path.clone(),
    };
    let text = std::fs::read(&path).map_err(|source| TrustError::Read { path: path.clone(), source })?;
    match reqwest::Certificate::from_pem_bundle(&text) {
        Ok(certificates) if !certificates.is_empty() => Ok(Trust::Only(certificates)),
        Ok(_) | Err(_) => Err(TrustError::Nothing { path }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error_of = |name: &str| {
            let tls = Tls { ca: Some(dir.path().join(name)), insecure: false };
            read(&tls).map(|_| ()).unwrap_err().to_string()
        };
        assert!(
            error_of("missing.pem").contains("cannot read")
                && error_of("missing.pem").contains("missing.pem")
        );
        for text in ["", "not a certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(dir.path().join("ca.pem"), text).unwrap();
            assert!(error_of("ca.pem").contains("no certificate"), "{text:?}: {}", error_of("ca.pem"));
        }
    }

    #[test]
    fn the_ca_file_or_the_system_or_everybody_is_trusted() {
        let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/cert.pem");
        let tls = Tls { ca: Some(ours.into()), insecure: false };
        assert!(matches!(read(&tls), Ok(Trust::Only(list)) if list.len() == 1));
        assert!(matches!(read(&Tls::default()), Ok(Trust::System)));
        assert!(matches!(read(&Tls { ca: None, insecure: true }), Ok(Trust::Anybody)));
    }
}
