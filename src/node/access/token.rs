//! Verifies a JWT: signature, dates, issuer and audience. Never trusts the header beyond the choice among known keys: `jku`,
//! `x5u`, `jwk` and `x5c` mean nothing here. Read [`TokenRules::verify`] first.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};

use super::claims::Claims;
use super::keys::{HmacSecret, Keys};
use super::scope::Scope;
use super::signatures;
use crate::node::limits::{TOKEN_BYTES, TOKEN_KEY_ID_BYTES};

/// What a token must say, apart from its signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenRules {
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Vec<String>,
    /// Seconds that the clocks of issuer and node may differ.
    pub(crate) leeway: u64,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidToken {
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// The signature is right, so the claims are true.
    #[error("the token has expired {0} s ago")]
    Expired(u64),
    #[error("the token is signed with a key that this node does not know")]
    UnknownKey,
}

impl TokenRules {
    /// Verifies a token at a time, in seconds since 1970.
    ///
    /// # Errors
    /// [`InvalidToken`] says why; it never holds the token.
    pub(super) fn verify(&self, token: &str, keys: &Keys, now: u64) -> Result<Scope, InvalidToken> {
        let invalid = |why: &str| InvalidToken::Invalid(why.to_owned());
        if token.len() > TOKEN_BYTES {
            return Err(invalid(&format!("it has more than {TOKEN_BYTES} bytes")));
        }
        let header = decode_header(token).map_err(|_| invalid("it is no JWT with a known algorithm"))?;
        check_header(&header).map_err(InvalidToken::Invalid)?;
        let claims = verified_claims(token, &header, keys)?;
        self.check_dates(&claims, now)?;
        self.check_issuer(&claims).map_err(InvalidToken::Invalid)?;
        self.check_audience(&claims).map_err(InvalidToken::Invalid)?;
        let scope = claims.scope().map_err(InvalidToken::Invalid)?;
        // The leeway counts for its streams too, so that none is opened that ends at once.
        Ok(Scope { expires_at: scope.expires_at.map(|exp| exp + self.leeway), ..scope })
    }

    fn check_dates(&self, claims: &Claims, now: u64) -> Result<(), InvalidToken> {
        let invalid = |why: &str| InvalidToken::Invalid(why.to_owned());
        let exp = claims.exp.ok_or_else(|| invalid("it has no exp, which is required"))?;
        if claims.nbf.is_some_and(|nbf| nbf > now + self.leeway) {
            return Err(invalid("its nbf is in the future; it is not valid yet"));
        }
        if exp + self.leeway <= now {
            return Err(InvalidToken::Expired(now - exp));
        }
        Ok(())
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), String> {
        match (&self.issuer, &claims.iss) {
            (Some(expected), Some(iss)) if expected == iss => Ok(()),
            (Some(_), None) => Err("it has no iss, and this node has a --token-issuer".to_owned()),
            (Some(_), Some(_)) => Err("its iss is not the --token-issuer of this node".to_owned()),
            (None, _) => Ok(()),
        }
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), String> {
        let audiences = claims.aud.as_ref().map(|aud| aud.as_slice()).unwrap_or_default();
        if self.audiences.is_empty() {
            return if audiences.is_empty() {
                Ok(())
            } else {
                Err("it has an aud, and this node has no --token-audience to compare it with".to_owned())
            };
        }
        if audiences.iter().any(|aud| self.audiences.contains(aud)) {
            Ok(())
        } else {
            Err("its aud has no --token-audience of this node".to_owned())
        }
    }
}

fn check_header(header: &Header) -> Result<(), String> {
    let kid = header.kid.as_deref().unwrap_or("-");
    if kid.is_empty() || kid.len() > TOKEN_KEY_ID_BYTES || !kid.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("its kid is not 1 to {TOKEN_KEY_ID_BYTES} printable ASCII characters"));
    }
    match header.typ.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("jwt" | "at+jwt" | "application/at+jwt") => Ok(()),
        Some(_) => Err("its typ is neither JWT nor at+jwt".to_owned()),
    }
}

/// The claims, if one of the keys has signed them. Dates, issuer and audience are checked by the caller: the claims of a
/// token that has expired are needed too.
fn verified_claims(token: &str, header: &Header, keys: &Keys) -> Result<Claims, InvalidToken> {
    let mut refusal = InvalidToken::UnknownKey;
    for key in keys.candidates(header) {
        let mut validation = Validation::new(key.algorithm);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        match decode::<Claims>(token, &key.key, &validation) {
            Ok(data) => return Ok(data.claims),
            Err(error) => match error.kind() {
                ErrorKind::InvalidSignature => {
                    refusal = InvalidToken::Invalid("its signature is wrong".to_owned());
                }
                _ => return Err(InvalidToken::Invalid(error.to_string())),
            },
        }
    }
    Err(refusal)
}

/// Signs claims with a secret, for `sse-node token`.
///
/// # Errors
/// The claims are no JSON object.
pub(crate) fn sign(
    claims: &serde_json::Value,
    secret: &HmacSecret,
) -> Result<String, jsonwebtoken::errors::Error> {
    signatures::install();
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn b64(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn secret() -> HmacSecret {
        HmacSecret::parse(SECRET).unwrap()
    }

    fn ed() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    /// A JWKS with an Ed25519 key for each name.
    fn jwks(ids: &[Option<&str>]) -> Keys {
        let key = |id: &Option<&str>| {
            let mut key =
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(ed().public_key()), "use": "sig" });
            if let Some(id) = id {
                key["kid"] = json!(id);
            }
            key
        };
        let keys: Vec<_> = ids.iter().map(key).collect();
        Keys::parse(&json!({ "keys": keys }).to_string()).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "what json! has made is not needed any more")]
    fn raw(header: Value, claims: Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        format!("{message}.{}", b64(sign(message.as_bytes())))
    }

    fn by_ed(header: Value, claims: Value) -> String {
        raw(header, claims, |message| ed().sign(message).as_ref().to_vec())
    }

    fn by_hmac(header: Value, claims: Value, key: &[u8]) -> String {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        raw(header, claims, |message| ring::hmac::sign(&key, message).as_ref().to_vec())
    }

    fn rules() -> TokenRules {
        TokenRules { leeway: 10, ..TokenRules::default() }
    }

    fn claims() -> Value {
        json!({ "sub": "alice", "exp": NOW + 60 })
    }

    #[track_caller]
    fn refused(keys: &Keys, token: &str, named: &str) {
        let refusal = rules().verify(token, keys, NOW).unwrap_err().to_string();
        assert!(refusal.contains(named), "{refusal}");
        assert!(token.is_empty() || !refusal.contains(token), "{refusal}");
    }

    #[test]
    fn every_algorithm_verifies_with_its_own_key_alone() {
        let point =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let es =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, point.as_ref(), &SystemRandom::new())
                .unwrap();
        let (x, y) = es.public_key().as_ref()[1..].split_at(32);
        let jwk =
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y), "alg": "ES256" }] });
        let es_keys = Keys::parse(&jwk.to_string()).unwrap();
        let es_token = raw(json!({ "alg": "ES256" }), claims(), |message| {
            es.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        });
        let hs_keys = Keys::default().with_secret(&secret()).unwrap();
        let all = [
            (jwks(&[None]), by_ed(json!({ "alg": "EdDSA", "typ": "at+jwt" }), claims())),
            (es_keys, es_token),
            (hs_keys, sign(&claims(), &secret()).unwrap()),
        ];
        for (index, (keys, _)) in all.iter().enumerate() {
            for (other, (_, token)) in all.iter().enumerate() {
                let outcome = rules()
                    .verify(token, keys, NOW)
                    .map(|scope| scope.read.unwrap().user.unwrap().to_string());
                let expected =
                    if index == other { Ok("alice".to_owned()) } else { Err(InvalidToken::UnknownKey) };
                assert_eq!(outcome, expected, "{index} {other}");
            }
        }
    }

    #[test]
    fn the_key_decides_the_algorithm_and_never_the_header() {
        let keys = jwks(&[None]);
        let public = ed().public_key().as_ref().to_vec();
        refused(&keys, &raw(json!({ "alg": "none" }), claims(), |_| Vec::new()), "no JWT");
        refused(&keys, &raw(json!({ "alg": "None" }), claims(), |_| Vec::new()), "no JWT");
        refused(&keys, &by_hmac(json!({ "alg": "HS256" }), claims(), &public), "does not know");
        refused(&keys, &by_hmac(json!({ "alg": "EdDSA" }), claims(), &public), "signature");
        let secret_keys = Keys::default().with_secret(&secret()).unwrap();
        refused(&secret_keys, &by_ed(json!({ "alg": "EdDSA" }), claims()), "does not know");
        refused(
            &secret_keys,
            &by_hmac(json!({ "alg": "HS512" }), claims(), SECRET.as_bytes()),
            "does not know",
        );
    }

    #[test]
    fn a_key_id_is_looked_up_and_nothing_else_of_the_header_is_used() {
        let keys = jwks(&[Some("a"), Some("b")]);
        let verify = |header: Value| rules().verify(&by_ed(header, claims()), &keys, NOW);
        assert!(verify(json!({ "alg": "EdDSA", "kid": "b" })).is_ok());
        assert!(verify(json!({ "alg": "EdDSA" })).is_ok(), "a token that names no key may be of any");
        assert_eq!(verify(json!({ "alg": "EdDSA", "kid": "c" })), Err(InvalidToken::UnknownKey));
        for kid in ["../../dev/null", "a b", "", &"k".repeat(65), "a\n"] {
            let refusal = verify(json!({ "alg": "EdDSA", "kid": kid })).unwrap_err();
            assert!(
                matches!(refusal, InvalidToken::Invalid(_) | InvalidToken::UnknownKey),
                "{kid}: {refusal}"
            );
        }
        // Another key in the header verifies nothing.
        let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(stranger.public_key()) });
        let header = json!({ "alg": "EdDSA", "jwk": jwk, "jku": "https://evil", "x5u": "https://evil", "x5c": ["AA"] });
        let token = raw(header, claims(), |message| stranger.sign(message).as_ref().to_vec());
        refused(&keys, &token, "signature");
        refused(&keys, &by_ed(json!({ "alg": "EdDSA", "crit": ["exp"], "exp": 1 }), claims()), "");
        refused(&keys, &by_ed(json!({ "alg": "EdDSA", "crit": ["b64"], "b64": false }), claims()), "");
        refused(&keys, &by_ed(json!({ "alg": "EdDSA", "typ": "dpop+jwt" }), claims()), "typ");
    }

    #[test]
    fn dates_are_kept_with_the_leeway_once() {
        let keys = jwks(&[None]);
        let verify = |claims: Value| rules().verify(&by_ed(json!({ "alg": "EdDSA" }), claims), &keys, NOW);
        assert!(verify(json!({ "exp": NOW - 9 })).is_ok());
        assert_eq!(verify(json!({ "exp": NOW - 10 })), Err(InvalidToken::Expired(10)));
        assert!(verify(json!({ "exp": NOW + 9, "nbf": NOW + 10 })).is_ok());
        for (claims, named) in [
            (json!({ "sub": "a" }), "exp"),
            (json!({ "exp": NOW + 60, "nbf": NOW + 11 }), "nbf"),
            (json!({ "exp": "1900000000" }), "invalid type"),
            (json!({ "exp": 1e300 }), "seconds since 1970"),
            (json!({ "exp": -5 }), "seconds since 1970"),
            (json!({ "exp": null }), "exp"),
            (json!([]), ""),
        ] {
            let refusal = verify(claims.clone()).unwrap_err().to_string();
            assert!(refusal.contains(named), "{claims}: {refusal}");
        }
        // The last of two would win in other readers.
        let twice =
            format!("{}.{}", b64(r#"{"alg":"EdDSA"}"#), b64(format!(r#"{{"exp":1,"exp":{}}}"#, NOW + 60)));
        let token = format!("{twice}.{}", b64(ed().sign(twice.as_bytes())));
        refused(&keys, &token, "duplicate");
    }

    #[test]
    fn issuer_and_audience_are_those_of_the_settings() {
        let keys = jwks(&[None]);
        let with = |rules: &TokenRules, more: Value| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rules
                .verify(&by_ed(json!({ "alg": "EdDSA" }), claims), &keys, NOW)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let strict = TokenRules {
            issuer: Some("https://id".to_owned()),
            audiences: vec!["sse".to_owned()],
            leeway: 0,
        };
        assert_eq!(with(&strict, json!({ "iss": "https://id", "aud": "sse" })), Ok(()));
        assert_eq!(with(&strict, json!({ "iss": "https://id", "aud": ["x", "sse"] })), Ok(()));
        for (more, named) in [
            (json!({ "iss": "https://evil", "aud": "sse" }), "--token-issuer"),
            (json!({ "iss": ["https://id"], "aud": "sse" }), "invalid type"),
            (json!({ "aud": "sse" }), "--token-issuer"),
            (json!({ "iss": "https://id", "aud": "other" }), "--token-audience"),
            (json!({ "iss": "https://id", "aud": [] }), "--token-audience"),
            (json!({ "iss": "https://id" }), "--token-audience"),
        ] {
            let refusal = with(&strict, more.clone()).unwrap_err();
            assert!(refusal.contains(named), "{more}: {refusal}");
        }
        let refusal = with(&rules(), json!({ "aud": "sse" })).unwrap_err();
        assert!(refusal.contains("no --token-audience"), "{refusal}");
        assert_eq!(with(&rules(), json!({ "iss": "https://any" })), Ok(()));
    }

    #[test]
    fn what_is_no_token_is_refused_before_any_key_is_asked() {
        let keys = jwks(&[None]);
        for text in ["", ".", "..", "a.b.c", "a.b", "a.b.c.d", "\u{e9}.\u{e9}.\u{e9}"] {
            refused(&keys, text, "no JWT");
        }
        refused(&keys, &"a".repeat(8 * 1024 + 1), "8192");
    }

    #[test]
    fn keys_that_cannot_verify_are_refused_with_what_is_allowed() {
        let spki = |der: &[u8]| {
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
        };
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let pem = spki(&[&head[..], ed().public_key().as_ref()].concat());
        let keys = Keys::parse(&format!("{pem}{pem}")).unwrap();
        assert!(
            rules().verify(&by_ed(json!({ "alg": "EdDSA", "kid": "any" }), claims()), &keys, NOW).is_ok()
        );
        let private = pem.replace("PUBLIC", "PRIVATE");
        let certificate = pem.replace("PUBLIC KEY", "CERTIFICATE");
        let rsa_1024 = json!({ "keys": [{ "kty": "RSA", "n": b64([1_u8; 128]), "e": "AQAB" }] }).to_string();
        let oct = json!({ "keys": [{ "kty": "oct", "k": b64([1_u8; 32]), "kid": "s" }] }).to_string();
        let enc = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": b64([1_u8; 32]), "use": "enc" }] })
            .to_string();
        let p384 =
            json!({ "keys": [{ "kty": "EC", "crv": "P-384", "x": b64([1_u8; 48]), "y": b64([1_u8; 48]) }] })
                .to_string();
        for (text, named) in [
            ("", "neither PEM nor a JWKS"),
            ("hello", "neither PEM nor a JWKS"),
            (private.as_str(), "private key"),
            (certificate.as_str(), "no public key"),
            (&spki(b"x"), "cannot be read"),
            ("{}", "no JWKS"),
            (r#"{"keys":[]}"#, "no key of the JWKS"),
            (&rsa_1024, "size"),
            (&oct, "--token-secret"),
            (&enc, "not for signatures"),
            (&p384, "not supported"),
        ] {
            let refusal = Keys::parse(text).unwrap_err();
            assert!(refusal.contains(named), "{text}: {refusal}");
        }
        assert!(HmacSecret::parse(&pem).unwrap_err().contains("PEM"));
        assert!(HmacSecret::parse("short").unwrap_err().contains("32"));
        assert_eq!(format!("{:?}", secret()), "HmacSecret(not shown)");
    }
}
