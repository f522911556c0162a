//! Storage of larger blobs: one trait, implemented by a folder and by a bucket.

use std::{fmt, future::Future, pin::Pin};

/// Failure of a blob store.
pub type BlobStoreError = std::io::Error;

/// Future of a blob store's answer.
pub type BlobFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobStoreError>> + Send + 'a>>;

/// A place for blobs. Names are its own: one is given out by [`Draft::finish`] and means nothing
/// elsewhere. Two drafts of the same content become two names.
pub trait BlobStore: fmt::Debug + Send + Sync {
    fn draft(&self) -> BlobFuture<'_, Box<dyn Draft>>;

    /// At most `most` bytes from `offset` on; none behind the end.
    fn read<'a>(&'a self, name: &'a str, offset: u64, most: usize) -> BlobFuture<'a, Vec<u8>>;

    /// Removes a blob; one that is gone already is as good.
    fn remove<'a>(&'a self, name: &'a str) -> BlobFuture<'a, ()>;

    /// Names that are older than so many seconds, drafts that were never finished included: what no
    /// row names is left over from a death and can go.
    fn older_than(&self, seconds: u64) -> BlobFuture<'_, Vec<String>>;

    /// Whether other databases can reach it too, so that [`BlobStore::is_owned_by`] is asked before
    /// a collection.
    fn has_owner(&self) -> bool {
        false
    }

    /// Whether this blob store belongs to the database of this name. One without an owner becomes
    /// its own.
    fn is_owned_by<'a>(&'a self, owner: &'a str) -> BlobFuture<'a, bool> {
        let _only_one_can_reach_it = owner;
        Box::pin(async { Ok(true) })
    }
}

/// A blob that is being written. Dropped before [`Draft::finish`], nothing is left of it.
pub trait Draft: fmt::Debug + Send + Sync {
    /// Appends bytes.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BlobFuture<'a, ()>;

    /// Makes it durable under a new name; `hash` is that of the content.
    fn finish(self: Box<Self>, hash: String) -> BlobFuture<'static, String>;
}
