//! Content by its SHA-256: small blobs in the database, larger ones in a [`BlobStore`].
//!
//! Content is written before its row: a row never points at nothing. Unreferenced content is
//! deleted some time after its last use (see `collect`). Must not know what is in a blob, except
//! for the collection, which must find the blobs that a list of changes names.

mod blob_store;
mod bucket;
mod collect;
mod copy;
mod folder;
mod identity;
mod reader;
mod rows;
mod scope;
mod writer;

pub use self::{
    blob_store::{BlobFuture, BlobStore, BlobStoreError, Draft},
    bucket::{Bucket, BucketOptions},
    collect::Collected,
    folder::Folder,
    reader::BlobReader,
    rows::BlobStat,
    writer::BlobWriter,
};

/// Blobs up to so many bytes lie in the database: a row costs less than a file of its own.
pub const INLINE_BYTES: usize = 16 * 1024;
/// Blobs that one question or transaction is about at most.
pub(crate) const BLOB_BATCH: usize = 500;
