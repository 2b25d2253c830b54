//! Keys that tokens are signed with: public keys as PEM or JWKS, and a secret. A key belongs to one algorithm, whatever
//! the header of a token says. Read [`Keys`] first.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header};

use super::signatures;
use crate::node::limits::{TOKEN_KEY_ID_BYTES, TOKEN_KEYS_MAX, TOKEN_SECRET_BYTES};

/// The keys that a node knows. They verify tokens of one issuer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Its `kid`; keys of PEM files and secrets have none.
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// A secret of `--token-secret`. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HmacSecret(String);

impl HmacSecret {
    /// # Errors
    /// A text that says what is wrong, without the secret.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("-----BEGIN") {
            return Err("it is a key in PEM form, and public keys belong to --token-keys; allowed are random bytes as \
                        text that the issuer of the tokens knows too"
                .to_owned());
        }
        if text.len() < TOKEN_SECRET_BYTES {
            let bytes = text.len();
            return Err(format!("it has {bytes} bytes; allowed are {TOKEN_SECRET_BYTES} and more"));
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for HmacSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSecret(not shown)")
    }
}

impl Keys {
    /// Reads public keys: PEM blocks, or a JWKS.
    ///
    /// # Errors
    /// A text that says which key is wrong and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        signatures::install();
        let keys = if text.trim_start().starts_with('{') { from_jwks(text) } else { from_pem(text) }?;
        if keys.len() > TOKEN_KEYS_MAX {
            return Err(format!("it has {} keys; allowed are up to {TOKEN_KEYS_MAX}", keys.len()));
        }
        Ok(Self(keys))
    }

    /// Adds a secret.
    ///
    /// # Errors
    /// A text that says what is wrong, without the secret.
    pub(crate) fn with_secret(mut self, secret: &HmacSecret) -> Result<Self, String> {
        signatures::install();
        let key = DecodingKey::from_secret(secret.as_bytes()).map_err(|error| error.to_string())?;
        self.0.push(Key { id: None, algorithm: Algorithm::HS256, key });
        Ok(self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that may have signed a token with this header: the one that it names, or else those without a name. A
    /// token that names none may be of every key.
    pub(super) fn candidates(&self, header: &Header) -> Vec<&Key> {
        let of_algorithm = || self.0.iter().filter(|key| key.algorithm == header.alg);
        let Some(id) = &header.kid else { return of_algorithm().collect() };
        let named: Vec<_> = of_algorithm().filter(|key| key.id.as_ref() == Some(id)).collect();
        if named.is_empty() { of_algorithm().filter(|key| key.id.is_none()).collect() } else { named }
    }
}

const ALLOWED: &str = "allowed are PEM files with public keys (-----BEGIN PUBLIC KEY-----) for RS256 (RSA, 2048 bits \
                       or more), ES256 (P-256) and EdDSA (Ed25519), and a JWKS with such keys";

fn from_pem(text: &str) -> Result<Vec<Key>, String> {
    let starts: Vec<_> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
    if starts.is_empty() {
        return Err(format!("it is neither PEM nor a JWKS; {ALLOWED}"));
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| one_pem(&text[*start..end])).collect()
}

fn one_pem(block: &str) -> Result<Key, String> {
    let first = block.lines().next().unwrap_or_default();
    if !matches!(first.trim_end(), "-----BEGIN PUBLIC KEY-----" | "-----BEGIN RSA PUBLIC KEY-----") {
        let what =
            if first.contains("PRIVATE") { "a private key, which no node needs" } else { "no public key" };
        return Err(format!("{first:.60} is {what}; {ALLOWED}"));
    }
    let block = block.as_bytes();
    let (algorithm, key) = if let Ok(key) = DecodingKey::from_ec_pem(block) {
        (Algorithm::ES256, key)
    } else if let Ok(key) = DecodingKey::from_ed_pem(block) {
        (Algorithm::EdDSA, key)
    } else {
        let key =
            DecodingKey::from_rsa_pem(block).map_err(|_| format!("{first} cannot be read; {ALLOWED}"))?;
        (Algorithm::RS256, key)
    };
    usable(Key { id: None, algorithm, key }).map_err(|why| format!("{first} {why}; {ALLOWED}"))
}

/// Refuses keys of a wrong size, which ring would refuse with every token.
fn usable(key: Key) -> Result<Key, String> {
    let fits = match (key.algorithm, key.key.kind()) {
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => point.len() == 65 && point[0] == 4,
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => point.len() == 32,
        // The DER of a key of 2048 bits: modulus and exponent, and some bytes around them.
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => der.len() >= 256,
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, .. }) => n.len() >= 256,
        _ => false,
    };
    if fits { Ok(key) } else { Err("has a size or a curve that is not supported".to_owned()) }
}

/// The keys of a JWKS that can verify tokens. Others are left out: an issuer may have keys for other purposes.
fn from_jwks(text: &str) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_str(text).map_err(|error| format!("it is no JWKS: {error}"))?;
    let (mut keys, mut left_out) = (Vec::new(), Vec::new());
    for jwk in &set.keys {
        match from_jwk(jwk) {
            Ok(key) => keys.push(key),
            Err(why) => left_out.push(format!("{} {why}", jwk.common.key_id.as_deref().unwrap_or("a key"))),
        }
    }
    if keys.is_empty() {
        return Err(format!("no key of the JWKS can be used ({}); {ALLOWED}", left_out.join(", ")));
    }
    Ok(keys)
}

fn from_jwk(jwk: &Jwk) -> Result<Key, String> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("is not for signatures".to_owned());
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::OctetKey(_) => {
            return Err("is a secret, which belongs to --token-secret".to_owned());
        }
        _ => return Err("is of a kind that is not supported".to_owned()),
    };
    if jwk.common.key_algorithm.is_some_and(|algorithm| algorithm != named) {
        return Err("is for an algorithm that is not supported".to_owned());
    }
    let id = jwk.common.key_id.clone();
    if id.as_ref().is_some_and(|id| id.len() > TOKEN_KEY_ID_BYTES) {
        return Err(format!("has a kid of more than {TOKEN_KEY_ID_BYTES} bytes"));
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let key = match key.kind() {
        // Some issuers put a zero byte in front of the modulus, as DER does.
        DecodingKeyKind::RsaModulusExponent { n, e } if n.first() == Some(&0) => {
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            DecodingKey::from_rsa_raw_components(&n[zeros..], e)
        }
        _ => key,
    };
    usable(Key { id, algorithm, key })
}
