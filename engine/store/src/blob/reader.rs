//! Reading a whole blob in constant memory, and noticing that it is not what it should be.

use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};

use crate::{error::Error, handles::Blobs, store::Store};

/// A blob that is being read from its start.
#[derive(Debug)]
pub struct BlobReader {
    store: Store,
    blob: BlobHash,
    size: u64,
    offset: u64,
    hasher: Sha256,
}

impl Blobs<'_> {
    /// Begins to read a blob; `None`: there is none of this hash.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn reader(self, blob: &BlobHash) -> Result<Option<BlobReader>, Error> {
        let (store, blob) = (self.store.clone(), *blob);
        let stat = self.stat(&blob).await?;
        let hasher = Sha256::new();
        Ok(stat.map(|stat| BlobReader { store, blob, size: stat.size, offset: 0, hasher }))
    }
}

// === impl BlobReader ===

impl BlobReader {
    /// Bytes of the whole.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes, at most so many; `None` after the last. The last ones are only returned if
    /// the whole content has the expected hash.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: it is cut short or changed; [`Error::BlobStore`]; [`Error`] of the
    /// database.
    pub async fn next(&mut self, most: usize) -> Result<Option<Vec<u8>>, Error> {
        if self.offset >= self.size {
            return Ok(None);
        }
        let bytes =
            self.store.blobs().read(&self.blob, self.offset, most).await?.unwrap_or_default();
        self.offset += bytes.len() as u64;
        self.hasher.update(&bytes);
        let is_over = self.offset >= self.size;
        if bytes.is_empty()
            || (is_over && BlobHash(self.hasher.clone().finalize().into()) != self.blob)
        {
            return Err(Error::Corrupt(format!("blob {} is cut short or damaged", self.blob)));
        }
        Ok(Some(bytes))
    }
}
