//! Sealing with XChaCha20-Poly1305: the text with a key of its own, that key with the master key.
//!
//! Scope and name are authenticated, so that a row cannot be moved under another name. Pure but for
//! the random bytes of keys and nonces.

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Generate as _, KeyInit as _, Payload},
};
use zeroize::Zeroizing;

use super::{Keyring, SecretError};

/// Bytes of a nonce, which stands before what was sealed with it.
const NONCE_BYTES: usize = 24;

/// A text at rest.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) key_id: String,
    pub(super) wrapped: Vec<u8>,
    pub(super) body: Vec<u8>,
}

pub(super) fn seal(
    keys: &Keyring,
    scope: &str,
    name: &str,
    text: &[u8],
) -> Result<Sealed, SecretError> {
    let keys = &keys.current();
    let own = Key::try_generate().map_err(|_| SecretError::Random)?;
    let body = encrypt(&XChaCha20Poly1305::new(&own), &about("text", scope, name), text)?;
    let own: Zeroizing<[u8; 32]> = Zeroizing::new(own.into());
    let wrapped = encrypt(&keys.first(), &about("key", scope, name), own.as_slice())?;
    Ok(Sealed { key_id: keys.first_id().to_owned(), wrapped, body })
}

pub(super) fn open(
    keys: &Keyring,
    scope: &str,
    name: &str,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let own = own_key(keys, scope, name, sealed)?;
    let key = Key::try_from(own.as_slice()).map_err(|_| damaged(name))?;
    decrypt(&XChaCha20Poly1305::new(&key), &about("text", scope, name), &sealed.body)
        .ok_or_else(|| damaged(name))
}

/// The same text under the first key of the ring; the text itself is not opened.
pub(super) fn rewrap(
    keys: &Keyring,
    scope: &str,
    name: &str,
    sealed: &Sealed,
) -> Result<Sealed, SecretError> {
    let own = own_key(keys, scope, name, sealed)?;
    let wrapped = encrypt(&keys.first(), &about("key", scope, name), &own)?;
    Ok(Sealed { key_id: keys.first_id().to_owned(), wrapped, body: sealed.body.clone() })
}

fn own_key(
    keys: &Keyring,
    scope: &str,
    name: &str,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let master = keys.of(&sealed.key_id).ok_or_else(|| SecretError::OtherKey {
        name: name.to_owned(),
        key_id: sealed.key_id.clone(),
    })?;
    decrypt(&master, &about("key", scope, name), &sealed.wrapped).ok_or_else(|| damaged(name))
}

fn damaged(name: &str) -> SecretError {
    SecretError::Damaged { name: name.to_owned() }
}

/// Data authenticated with a ciphertext. Neither part holds NUL.
fn about(what: &str, scope: &str, name: &str) -> Vec<u8> {
    format!("plue secret 1\0{what}\0{scope}\0{name}").into_bytes()
}

fn encrypt(cipher: &XChaCha20Poly1305, aad: &[u8], text: &[u8]) -> Result<Vec<u8>, SecretError> {
    let nonce = XNonce::try_generate().map_err(|_| SecretError::Random)?;
    // The cipher refuses only texts of more than 256 GiB.
    let sealed = cipher
        .encrypt(&nonce, Payload { msg: text, aad })
        .map_err(|_| SecretError::Limit("the secret is too long".to_owned()))?;
    let mut bytes = nonce.to_vec();
    bytes.extend(sealed);
    Ok(bytes)
}

fn decrypt(cipher: &XChaCha20Poly1305, aad: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, msg) = bytes.split_at_checked(NONCE_BYTES)?;
    let nonce = XNonce::try_from(nonce).ok()?;
    cipher.decrypt(&nonce, Payload { msg, aad }).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_with_its_key_scope_and_name_only() {
        let keys = Keyring::generate().unwrap();
        let sealed = seal(&keys, "/repo", "TOKEN", b"s3cret").unwrap();
        assert_eq!(*open(&keys, "/repo", "TOKEN", &sealed).unwrap(), b"s3cret");
        let other = Keyring::generate().unwrap();
        let refused = open(&other, "/repo", "TOKEN", &sealed).err().unwrap();
        assert!(matches!(refused, SecretError::OtherKey { .. }));
        for (scope, name) in [("/other", "TOKEN"), ("/repo", "OTHER")] {
            let refused = open(&keys, scope, name, &sealed).err().unwrap();
            assert!(matches!(refused, SecretError::Damaged { .. }), "{scope} {name}");
        }
        for at in 0..sealed.body.len() {
            let mut changed = sealed.clone();
            changed.body[at] ^= 1;
            assert!(open(&keys, "/repo", "TOKEN", &changed).is_err(), "byte {at}");
        }
        let mut short = sealed;
        short.wrapped.truncate(3);
        assert!(open(&keys, "/repo", "TOKEN", &short).is_err());
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same_way() {
        let keys = Keyring::generate().unwrap();
        let [a, b] = [(); 2].map(|()| seal(&keys, "", "A", b"x").unwrap());
        assert!(a.body != b.body && a.wrapped != b.wrapped);
    }

    #[test]
    fn a_new_master_key_takes_over_without_opening_the_text() {
        let old = Keyring::generate().unwrap();
        let sealed = seal(&old, "", "A", b"x").unwrap();
        let both = old.with_new().unwrap();
        assert_ne!(both.first_id(), old.first_id());
        let moved = rewrap(&both, "", "A", &sealed).unwrap();
        assert_eq!(moved.body, sealed.body);
        let new = both.only_first();
        assert_eq!(*open(&new, "", "A", &moved).unwrap(), b"x");
        assert!(open(&new, "", "A", &sealed).is_err());
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_never_shown() {
        let keys = Keyring::generate().unwrap().with_new().unwrap();
        let text = keys.to_text();
        let again = Keyring::parse(&text).unwrap();
        assert_eq!(again.to_text(), text);
        assert_eq!(Keyring::parse(&text.replace('\n', ",")).unwrap().first_id(), keys.first_id());
        for bad in ["", "12", &"x".repeat(64), &"0".repeat(63)] {
            assert!(Keyring::parse(bad).is_err(), "{bad:?}");
        }
        let shown = format!("{keys:?}");
        assert!(text.lines().all(|line| !shown.contains(&line[..20])), "{shown}");
    }
}
