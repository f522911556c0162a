//! The keys of an issuer's signatures (RFC 7517), and the choice of a token's key.
//!
//! Tokens with unknown keys must not cause unlimited fetches.

use std::time::Duration;

use jsonwebtoken::{
    Algorithm, DecodingKey, Header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use plue_runtime::{Clock, clock::Mark};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::Error;

/// Keys of one set.
const MAX_KEYS: usize = 100;
/// They are fetched again when they are this old.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// An unknown key has them fetched again this often at most.
const REFETCH_EVERY: Duration = Duration::from_secs(30);

/// The keys, as they were last fetched.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: Vec<Jwk>,
    fetched: Option<Mark>,
    /// Time of the last fetch for an unknown key.
    searched: Option<Mark>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Json>,
}

// === impl Keys ===

impl Keys {
    /// True if they have to be fetched before a lookup.
    pub(crate) fn is_stale(&self, clock: Clock) -> bool {
        self.fetched.is_none_or(|mark| clock.elapsed(mark) >= FRESH)
    }

    /// True if they may be fetched for an unknown key. Counts as done.
    pub(crate) fn may_search(&mut self, clock: Clock) -> bool {
        let may = self.searched.is_none_or(|mark| clock.elapsed(mark) >= REFETCH_EVERY);
        if may {
            self.searched = Some(clock.mark());
        }
        may
    }

    /// Takes a fetched set. Keys of unknown kinds are left out without an error.
    pub(crate) fn take(&mut self, bytes: &[u8], clock: Clock) -> Result<(), Error> {
        let what = "its keys";
        let set: Set = serde_json::from_slice(bytes)
            .map_err(|error| Error::BadAnswer { what, why: error.to_string() })?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        self.keys = keys.filter_map(|key| serde_json::from_value(key).ok()).collect();
        self.fetched = Some(clock.mark());
        Ok(())
    }

    /// The key of a token's head. Without a name, only if there is no choice.
    pub(crate) fn find(&self, header: &Header) -> Option<DecodingKey> {
        let mut fit = self.keys.iter().filter(|key| fits(key, header.alg)).filter(|key| {
            header.kid.is_none() || key.common.key_id.as_deref() == header.kid.as_deref()
        });
        let found = fit.next()?;
        if fit.next().is_some() {
            return None;
        }
        DecodingKey::from_jwk(found).ok()
    }
}

/// True if a key is for this algorithm.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let used = common.public_key_use.as_ref().is_none_or(|to| *to == PublicKeyUse::Signature);
    let allowed =
        common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let (named, kind) = match algorithm {
        Algorithm::RS256 => {
            (KeyAlgorithm::RS256, matches!(key.algorithm, AlgorithmParameters::RSA(_)))
        }
        Algorithm::ES256 => (
            KeyAlgorithm::ES256,
            matches!(&key.algorithm,
                AlgorithmParameters::EllipticCurve(of) if of.curve == EllipticCurve::P256),
        ),
        Algorithm::EdDSA => (
            KeyAlgorithm::EdDSA,
            matches!(&key.algorithm,
                AlgorithmParameters::OctetKeyPair(of) if of.curve == EllipticCurve::Ed25519),
        ),
        _ => return false,
    };
    used && allowed && kind && common.key_algorithm.is_none_or(|said| said == named)
}
