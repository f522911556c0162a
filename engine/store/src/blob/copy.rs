//! All content of the blob store into a folder and back, for a backup.

use std::{io, path::Path};

use plue_wire::outputs::BlobHash;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{error::Error, handles::BlobFiles, op::Plain, sql::Statement};

/// Bytes in memory.
const PART: usize = 1024 * 1024;

impl BlobFiles<'_> {
    /// Copies all content of the blob store into a folder, under the names in its rows. Returns the
    /// number of files.
    ///
    /// # Errors
    /// [`Error::BlobStore`] for either end, [`Error::Corrupt`] for damaged content, [`Error`] of
    /// the database.
    pub async fn copy_to(self, folder: &Path) -> Result<u64, Error> {
        let mut count = 0;
        let mut after = String::new();
        while let Some((blob, file)) = self.next_offloaded(&after).await? {
            after = blob.to_string();
            let Some(mut reader) = self.store.blobs().reader(&blob).await? else { continue };
            let path = folder.join(&file);
            if let Some(parent) = path.parent() {
                tokio::fs::create_dir_all(parent).await.map_err(Error::BlobStore)?;
            }
            let mut copy = tokio::fs::File::create(&path).await.map_err(Error::BlobStore)?;
            while let Some(part) = reader.next(PART).await? {
                copy.write_all(&part).await.map_err(Error::BlobStore)?;
            }
            copy.flush().await.map_err(Error::BlobStore)?;
            count += 1;
        }
        Ok(count)
    }

    /// Puts the files of [`Self::copy_to`] into this blob store, and records their new names.
    /// Returns the number of files; rows without a file stay as they are.
    ///
    /// # Errors
    /// As [`Self::copy_to`].
    pub async fn place_from(self, folder: &Path) -> Result<u64, Error> {
        let mut count = 0;
        let mut after = String::new();
        while let Some((blob, file)) = self.next_offloaded(&after).await? {
            after = blob.to_string();
            let copy = match tokio::fs::File::open(folder.join(&file)).await {
                Ok(copy) => copy,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::BlobStore(error)),
            };
            let name = self.placed(&blob, copy).await?;
            let text = "UPDATE blob SET file = $3 WHERE hash = $1 AND file = $2";
            let args = vec![after.as_str().into(), file.into(), name.into()];
            self.store.write(Plain(vec![Statement::new(text, args)])).await?;
            count += 1;
        }
        Ok(count)
    }

    async fn placed(self, blob: &BlobHash, mut copy: tokio::fs::File) -> Result<String, Error> {
        let mut draft = self.store.blob_store()?.draft().await.map_err(Error::BlobStore)?;
        let mut hasher = Sha256::new();
        let mut part = vec![0; PART];
        loop {
            let read = copy.read(&mut part).await.map_err(Error::BlobStore)?;
            let Some(bytes) = part.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            draft.write(bytes).await.map_err(Error::BlobStore)?;
        }
        if BlobHash(hasher.finalize().into()) != *blob {
            return Err(Error::Corrupt(format!("the copy of blob {blob} is damaged")));
        }
        draft.finish(blob.to_string()).await.map_err(Error::BlobStore)
    }

    async fn next_offloaded(self, after: &str) -> Result<Option<(BlobHash, String)>, Error> {
        let text = "SELECT hash, file FROM blob WHERE file IS NOT NULL AND hash > $1 \
                    ORDER BY hash LIMIT 1";
        let row = self.store.read_one(Statement::new(text, vec![after.into()])).await?;
        row.map(|row| Ok((row.parse(0)?, row.text(1)?))).transpose()
    }
}
