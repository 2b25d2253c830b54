//! The signature by which a node proves to another one that it knows the cluster secret, without sending it: an HMAC
//! (RFC 2104, with SHA-256) over the request, its time, and both nodes. Who receives a request can therefore not repeat
//! it to a third node, and nobody can repeat it later. Pure: the caller reads the clock. Read [`SignedRequest`] first.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ring::{digest, hmac};

use super::config::Secret;
use super::limits::PEER_CLOCK_SKEW;
use crate::runtime::clock::millis;

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignedRequest<'a> {
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    /// The incarnation of the node that asks.
    pub(crate) from: &'a str,
    /// The incarnation of the node that is asked.
    pub(crate) to: &'a str,
    pub(crate) body: &'a [u8],
}

/// Why a signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the signature cannot be read")]
    Malformed,
    #[error(
        "the request is for another node, and this one has its address; give each node its own --advertise"
    )]
    OtherNode,
    #[error("the clocks of the two nodes differ by {0} ms; allowed are {allowed} ms", allowed = millis(PEER_CLOCK_SKEW))]
    Clock(u64),
    #[error("the signature does not match; the nodes need the same --cluster-secret")]
    Mismatch,
}

impl SignedRequest<'_> {
    /// The value of the header: `time;to;signature`. `now_ms` is the time by the clock of this node, milliseconds since
    /// 1970.
    pub(crate) fn sign(&self, secret: &Secret, now_ms: u64) -> HeaderValue {
        let tag = hmac::sign(&key(secret), self.text(now_ms).as_bytes());
        let value = format!("{now_ms};{};{}", self.to, URL_SAFE_NO_PAD.encode(tag));
        HeaderValue::from_str(&value).expect("an incarnation is printable ASCII")
    }

    /// Checks the value of the header.
    ///
    /// # Errors
    /// [`SignatureError`] says what to change.
    pub(crate) fn check(&self, secret: &Secret, value: &[u8], now_ms: u64) -> Result<(), SignatureError> {
        let value = std::str::from_utf8(value).map_err(|_| SignatureError::Malformed)?;
        let mut parts = value.splitn(3, ';');
        let mut part = || parts.next().ok_or(SignatureError::Malformed);
        let (time, to, tag) = (part()?, part()?, part()?);
        let time = time.parse().map_err(|_| SignatureError::Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| SignatureError::Malformed)?;
        if to != self.to {
            return Err(SignatureError::OtherNode);
        }
        // In constant time.
        hmac::verify(&key(secret), self.text(time).as_bytes(), &tag).map_err(|_| SignatureError::Mismatch)?;
        let difference = now_ms.abs_diff(time);
        if difference > millis(PEER_CLOCK_SKEW) { Err(SignatureError::Clock(difference)) } else { Ok(()) }
    }

    /// The text that is signed. No part of it but the last two can hold a line end.
    fn text(&self, time_ms: u64) -> String {
        let Self { method, target, from, to, body } = self;
        let body = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, body));
        format!("sse-cluster-1\n{method}\n{target}\n{from}\n{to}\n{time_ms}\n{body}")
    }
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.header().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: SignedRequest<'_> =
        SignedRequest { method: "POST", target: "/cluster/claims?a=b", from: "01A", to: "01B", body: b"{}" };
    const NOW: u64 = 1_800_000_000_000;

    fn secret(text: &str) -> Secret {
        Secret::for_test(text)
    }

    #[test]
    fn a_signature_holds_for_one_request_between_two_nodes() {
        let secret = secret("the-secret-of-this-cluster");
        let signed = REQUEST.sign(&secret, NOW);
        assert_eq!(REQUEST.check(&secret, signed.as_bytes(), NOW), Ok(()));
        let others = [
            SignedRequest { method: "GET", ..REQUEST },
            SignedRequest { target: "/cluster/claims?a=c", ..REQUEST },
            SignedRequest { from: "01C", ..REQUEST },
            SignedRequest { body: b"[]", ..REQUEST },
        ];
        for other in others {
            let refused = other.check(&secret, signed.as_bytes(), NOW);
            assert_eq!(refused, Err(SignatureError::Mismatch), "{other:?}");
        }
        let elsewhere = SignedRequest { to: "01C", ..REQUEST };
        assert_eq!(elsewhere.check(&secret, signed.as_bytes(), NOW), Err(SignatureError::OtherNode));
        // Who changes the name of the receiver changes what was signed.
        let changed = signed.to_str().unwrap().replace("01B", "01C");
        assert_eq!(elsewhere.check(&secret, changed.as_bytes(), NOW), Err(SignatureError::Mismatch));
        let other = self::secret("another-secret-of-a-cluster");
        assert_eq!(REQUEST.check(&other, signed.as_bytes(), NOW), Err(SignatureError::Mismatch));
    }

    #[test]
    fn a_signature_holds_for_a_minute() {
        let secret = secret("the-secret-of-this-cluster");
        let signed = REQUEST.sign(&secret, NOW);
        for (now, outcome) in [
            (NOW + 60_000, Ok(())),
            (NOW - 60_000, Ok(())),
            (NOW + 60_001, Err(SignatureError::Clock(60_001))),
            (NOW - 60_001, Err(SignatureError::Clock(60_001))),
        ] {
            assert_eq!(REQUEST.check(&secret, signed.as_bytes(), now), outcome);
        }
        // A later time that nobody signed.
        let moved = signed.to_str().unwrap().replace(&NOW.to_string(), &(NOW + 1).to_string());
        assert_eq!(REQUEST.check(&secret, moved.as_bytes(), NOW), Err(SignatureError::Mismatch));
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let secret = secret("the-secret-of-this-cluster");
        for text in ["", ";;", "1", "1;01B", "x;01B;AAAA", "-1;01B;AAAA", "1;01B;***", "\u{e9}"] {
            let refused = REQUEST.check(&secret, text.as_bytes(), NOW);
            assert_eq!(refused, Err(SignatureError::Malformed), "{text:?}");
        }
        assert_eq!(REQUEST.check(&secret, b"1;01B;", NOW), Err(SignatureError::Mismatch));
        assert_eq!(REQUEST.check(&secret, &[0xff], NOW), Err(SignatureError::Malformed));
    }
}
