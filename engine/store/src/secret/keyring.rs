//! Master keys: the first one seals, every one opens.

use std::{fmt, sync::Arc};

use chacha20poly1305::{
    Key, XChaCha20Poly1305,
    aead::{Generate as _, KeyInit as _},
};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::SecretError;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Hexadecimal digits of a key's id.
const ID_DIGITS: usize = 16;

/// Master keys of one machine or installation. They are wiped from memory at the end.
#[derive(Clone)]
pub struct Keyring {
    first: MasterKey,
    others: Vec<MasterKey>,
    /// Source from which the keys are read again; `None`: they do not change.
    source: Option<Source>,
}

/// Reads the keys as they are now, if they can be read.
type Source = Arc<dyn Fn() -> Option<Keyring> + Send + Sync>;

#[derive(Clone)]
struct MasterKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

// === impl Keyring ===

impl Keyring {
    /// A ring with one new key.
    ///
    /// # Errors
    /// [`SecretError::Random`].
    pub fn generate() -> Result<Self, SecretError> {
        Ok(Self { first: MasterKey::generate()?, others: Vec::new(), source: None })
    }

    /// The same keys for a process that outlives them: they are read again before something is sealed, and
    /// when something is sealed with an unknown key.
    #[must_use]
    pub fn read_again(self, source: impl Fn() -> Option<Self> + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// Reads keys of 64 hexadecimal digits, separated by commas or white space; the first one seals.
    ///
    /// # Errors
    /// [`SecretError::BadKey`], also if there is none.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let mut keys = words.filter(|word| !word.is_empty()).map(MasterKey::parse);
        let first = keys.next().ok_or(SecretError::BadKey)??;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()?, source: None })
    }

    /// The keys as [`Keyring::parse`] reads them, one on a line.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for key in self.all() {
            let mut line = hex_of(key.bytes.as_slice());
            text.push_str(&line);
            text.push('\n');
            line.zeroize();
        }
        text
    }

    /// With a new key before all others.
    ///
    /// # Errors
    /// [`SecretError::Random`].
    pub fn with_new(&self) -> Result<Self, SecretError> {
        let (first, others) = (MasterKey::generate()?, self.all().cloned().collect());
        Ok(Self { first, others, source: None })
    }

    /// The key that seals, alone.
    #[must_use]
    pub fn only_first(&self) -> Self {
        Self { first: self.first.clone(), others: Vec::new(), source: None }
    }

    /// The id of the key that seals. An id reveals nothing about its key.
    #[must_use]
    pub fn first_id(&self) -> &str {
        &self.first.id
    }

    pub(super) fn first(&self) -> XChaCha20Poly1305 {
        self.first.cipher()
    }

    /// The keys as they are now.
    pub(super) fn current(&self) -> Self {
        let read = self.source.as_ref().and_then(|source| source());
        read.unwrap_or_else(|| self.clone())
    }

    /// The key with this id; read again if it is unknown.
    pub(super) fn of(&self, id: &str) -> Option<XChaCha20Poly1305> {
        let own = |keys: &Self| keys.all().find(|key| key.id == id).map(MasterKey::cipher);
        own(self).or_else(|| own(&self.source.as_ref()?()?))
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|key| &key.id)).finish()
    }
}

// === impl MasterKey ===

impl MasterKey {
    fn generate() -> Result<Self, SecretError> {
        let key = Key::try_generate().map_err(|_| SecretError::Random)?;
        Ok(Self::new(Zeroizing::new(key.into())))
    }

    fn parse(word: &str) -> Result<Self, SecretError> {
        let digits = word.as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(SecretError::BadKey);
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).ok_or(SecretError::BadKey)?;
                *byte = (*byte << 4) | u8::try_from(value).unwrap_or(0);
            }
        }
        Ok(Self::new(bytes))
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let digest = Sha256::new().chain_update("plue master key id").chain_update(*bytes);
        let mut id = hex_of(&digest.finalize());
        id.truncate(ID_DIGITS);
        Self { id, bytes }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.bytes))
    }
}

fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
