//! Writing a blob as it comes, in constant memory.

use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};

use super::{INLINE_BYTES, blob_store::Draft, rows::Row};
use crate::{error::Error, handles::Blobs, store::Store};

/// A blob that is being written. Dropped before [`BlobWriter::finish`], nothing is left of it.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    hasher: Sha256,
    size: u64,
    /// The whole while it is small.
    small: Vec<u8>,
    /// Once it is not.
    draft: Option<Box<dyn Draft>>,
}

impl Blobs<'_> {
    #[must_use]
    pub fn writer(self) -> BlobWriter {
        BlobWriter {
            store: self.store.clone(),
            hasher: Sha256::new(),
            size: 0,
            small: Vec::new(),
            draft: None,
        }
    }

    /// Stores content that is in memory.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub async fn put(self, bytes: &[u8]) -> Result<BlobHash, Error> {
        let mut writer = self.writer();
        writer.write(bytes).await?;
        Ok(writer.finish().await?.0)
    }
}

// === impl BlobWriter ===

impl BlobWriter {
    /// Bytes written so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::BlobStore`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        if let Some(draft) = &mut self.draft {
            return draft.write(bytes).await.map_err(Error::BlobStore);
        }
        self.small.extend_from_slice(bytes);
        if self.small.len() > INLINE_BYTES {
            let mut draft = self.store.blob_store()?.draft().await.map_err(Error::BlobStore)?;
            draft.write(&std::mem::take(&mut self.small)).await.map_err(Error::BlobStore)?;
            self.draft = Some(draft);
        }
        Ok(())
    }

    /// Stores it: content first, then its row. Content that is there already is not kept twice.
    ///
    /// # Errors
    /// [`Error::BlobStore`], or [`Error`] of the database.
    pub async fn finish(self) -> Result<(BlobHash, u64), Error> {
        let hash = BlobHash(self.hasher.finalize().into());
        if self.store.blobs().missing(&[hash]).await?.is_empty() {
            return Ok((hash, self.size));
        }
        let mut row = Row { hash, size: self.size, data: None, file: None };
        match self.draft {
            None => row.data = Some(self.small),
            Some(draft) => {
                let name = draft.finish(hash.to_string()).await.map_err(Error::BlobStore)?;
                row.file = Some(name);
            }
        }
        let file = row.file.clone();
        let is_new = self.store.blobs().insert(vec![row]).await? > 0;
        if let (false, Some(file)) = (is_new, file) {
            // Another writer stored the same content first.
            self.store.blob_store()?.remove(&file).await.map_err(Error::BlobStore)?;
        }
        Ok((hash, self.size))
    }
}
