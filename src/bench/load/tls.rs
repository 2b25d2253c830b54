//! The certificates that a run accepts, read once before anything is started. Read [`read`] first.

use crate::bench::scenario::Tls;
use crate::client::{CertificateError, Trust};

/// Reads the CA file, if there is one.
///
/// # Errors
/// [`CertificateError`] with the path of the file.
pub fn read(tls: &Tls) -> Result<Trust, CertificateError> {
    match tls {
        Tls { insecure: true, .. } => Ok(Trust::Anybody),
        Tls { ca: None, .. } => Ok(Trust::System),
        Tls { ca: Some(path), .. } => Trust::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ca_file_or_the_system_or_everybody_is_trusted() {
        let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/cert.pem");
        let tls = Tls { ca: Some(ours.into()), insecure: false };
        assert!(matches!(read(&tls), Ok(Trust::Only(list)) if list.len() == 1));
        assert!(matches!(read(&Tls::default()), Ok(Trust::System)));
        assert!(matches!(read(&Tls { ca: None, insecure: true }), Ok(Trust::Anybody)));
    }
}
