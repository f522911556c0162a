//! A bucket of an object store (S3 API) as a blob store.
//!
//! Small content is put at once; larger content is uploaded in parts, next to a note that names the
//! upload until it is complete, so that the collection ends uploads that a crash left: an upload
//! without a note has no part, and takes no room. The object `owner` names the database of all
//! objects. Must not show a key: errors of the object store are shown without them. Must not list
//! objects that plue has not made.

use std::{fmt, io, sync::Arc, time::Duration};

use futures::TryStreamExt as _;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, PutMode,
    PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    multipart::{MultipartStore as _, PartId},
    path::Path,
};
use plue_runtime::{Clock, Ids, Tasks};

use super::blob_store::{BlobFuture, BlobStore, BlobStoreError, Draft};

/// Bytes of one part. Stores want 5 MiB at least and take 10,000 parts: 80 GiB.
const PART: usize = 8 * 1024 * 1024;
/// Notes of uploads that are under way lie below it.
const UPLOADS: &str = "uploads";
/// Prefix of notes about uploads in parts.
const LARGE: &str = "large";
/// Prefix of the objects that [`Bucket::check`] writes.
const CHECK: &str = "check";
/// The object that names the database.
const OWNER: &str = "owner";
/// Digits of what [`Ids::secret`] gives.
const NUMBER: usize = 40;
/// One request, with its part, on a slow line.
const REQUEST: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(5);
/// A request is made again until then.
const TRIED: Duration = Duration::from_secs(20);
const TRIES: usize = 5;

/// A bucket and its access.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BucketOptions {
    pub bucket: String,
    /// Prefix of all names in it; may be empty.
    pub prefix: String,
    /// Address of the store; absent: that of AWS for the region.
    pub endpoint: Option<String>,
    pub region: String,
    /// Name and text of the key; absent: what the machine is given by its cloud.
    pub keys: Option<(String, String)>,
    /// Whether the address may be without TLS.
    pub allow_http: bool,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    s3: AmazonS3,
    options: BucketOptions,
    ids: Ids,
    clock: Clock,
    tasks: Tasks,
}

struct ObjectDraft {
    bucket: Bucket,
    /// Bytes that are not sent yet.
    rest: Vec<u8>,
    upload: Option<Upload>,
}

/// An upload in parts.
struct Upload {
    name: String,
    note: String,
    id: String,
    parts: Vec<PartId>,
}

// === impl BucketOptions ===

impl BucketOptions {
    /// Reads `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("s3://").ok_or("it begins with s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err("it is s3://BUCKET or s3://BUCKET/PREFIX".to_owned());
        }
        let prefix = prefix.trim_end_matches('/');
        let parts = prefix.split('/').filter(|_| !prefix.is_empty());
        for part in parts {
            if part.is_empty() || part.starts_with('.') || !part.chars().all(plain) {
                return Err("a prefix has letters, digits, `-`, `_`, `.` and `/`".to_owned());
            }
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self { bucket, prefix, region: "us-east-1".to_owned(), ..Self::default() })
    }

    /// The text without the keys, wherever they stand in it.
    fn without_keys(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some((name, key)) = &self.keys {
            for hidden in [name, key].into_iter().filter(|hidden| !hidden.is_empty()) {
                text = text.replace(hidden.as_str(), "***");
            }
        }
        text
    }
}

impl fmt::Debug for BucketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, endpoint, .. } = self;
        write!(f, "s3://{bucket}/{prefix} at {endpoint:?}")
    }
}

// === impl Bucket ===

impl Bucket {
    /// A blob store in this bucket. Sends no request yet.
    ///
    /// # Errors
    /// The options do not make an address.
    pub fn new(options: BucketOptions) -> Result<Self, BlobStoreError> {
        // Another room may have chosen the provider already; there is only this one.
        let _chosen_already = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_allow_http(options.allow_http)
            .with_connect_timeout(CONNECT)
            .with_timeout(REQUEST);
        let retry = RetryConfig { max_retries: TRIES, retry_timeout: TRIED, ..Default::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&options.bucket)
            .with_region(&options.region)
            // One request for each: not every store takes many names at once.
            .with_disable_bulk_delete(true)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(options.allow_http);
        }
        if let Some((name, key)) = &options.keys {
            builder = builder.with_access_key_id(name).with_secret_access_key(key);
        }
        let s3 = builder.build().map_err(|error| described(&options, &error))?;
        let (ids, clock, tasks) = (Ids::random(), Clock::real(), Tasks::new());
        Ok(Self(Arc::new(Inner { s3, options, ids, clock, tasks })))
    }

    /// Writes, reads and removes an object, to check all permissions that plue needs.
    ///
    /// # Errors
    /// The failure of the object store.
    pub async fn check(&self) -> Result<(), BlobStoreError> {
        let name = format!("{CHECK}/{}", self.0.ids.secret());
        self.put(&name, b"plue".to_vec()).await?;
        let read = self.read(&name, 1, 2).await?;
        self.older_than(0).await?;
        self.remove(&name).await?;
        if read != b"lu" {
            return Err(io::Error::other("what was read is not what was written"));
        }
        Ok(())
    }

    /// A name that was given out, as a path; nothing else ever is.
    fn path(&self, name: &str) -> Result<Path, BlobStoreError> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
                && !part.starts_with('.')
        };
        if !name.split('/').all(plain) {
            let message = format!("{name:?} is no blob's name");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let prefix = &self.0.options.prefix;
        let whole = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        Ok(Path::from(whole))
    }

    fn described(&self, error: &object_store::Error) -> BlobStoreError {
        described(&self.0.options, error)
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BlobStoreError> {
        let path = self.path(name)?;
        let put = self.0.s3.put(&path, PutPayload::from(bytes)).await;
        put.map(drop).map_err(|error| self.described(&error))
    }

    async fn begin(&self) -> Result<Upload, BlobStoreError> {
        let number = self.0.ids.secret();
        let name = format!("{LARGE}/{}/{number}", number.get(..2).unwrap_or("xx"));
        let id = self.0.s3.create_multipart(&self.path(&name)?).await;
        let id = id.map_err(|error| self.described(&error))?;
        let note = format!("{UPLOADS}/{number}");
        self.put(&note, format!("{name} {id}").into_bytes()).await?;
        Ok(Upload { name, note, id, parts: Vec::new() })
    }

    async fn send(&self, upload: &mut Upload, part: Vec<u8>) -> Result<(), BlobStoreError> {
        let path = self.path(&upload.name)?;
        let (number, part) = (upload.parts.len(), PutPayload::from(part));
        let sent = self.0.s3.put_part(&path, &upload.id, number, part).await;
        upload.parts.push(sent.map_err(|error| self.described(&error))?);
        Ok(())
    }

    /// Ends the upload of a note, and then removes the note.
    async fn end_upload(&self, note: &str) -> Result<(), BlobStoreError> {
        let text = match self.0.s3.get(&self.path(note)?).await {
            Ok(found) => found.bytes().await.map_err(|error| self.described(&error))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(self.described(&error)),
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Some((name, id)) = text.split_once(' ') {
            self.abort(name, id).await?;
        }
        self.delete(note).await
    }

    async fn abort(&self, name: &str, id: &str) -> Result<(), BlobStoreError> {
        let path = self.path(name)?;
        // Whole: only its note is left.
        if self.0.s3.head(&path).await.is_ok() {
            return Ok(());
        }
        match self.0.s3.abort_multipart(&path, &id.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.described(&error)),
        }
    }

    async fn owner(&self) -> Result<Option<String>, BlobStoreError> {
        match self.0.s3.get(&self.path(OWNER)?).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(|error| self.described(&error))?;
                Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.described(&error)),
        }
    }

    /// The owner; `id` if there was none.
    async fn owner_or(&self, id: &str) -> Result<Option<String>, BlobStoreError> {
        let owner = self.owner().await?;
        if owner.is_some() {
            return Ok(owner);
        }
        let bytes = PutPayload::from(id.as_bytes().to_vec());
        let put = self.0.s3.put_opts(&self.path(OWNER)?, bytes, PutMode::Create.into()).await;
        // Another may have been faster, or only the answer was lost: what lies there counts.
        let owner = self.owner().await?;
        match (put, &owner) {
            (Err(error), None) => Err(self.described(&error)),
            _ => Ok(owner),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), BlobStoreError> {
        match self.0.s3.delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.described(&error)),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.options.fmt(f)
    }
}

/// Whether it is a name that is given out here: others may keep things in the bucket as well.
fn is_ours(name: &str) -> bool {
    let hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = name.split('/').collect();
    match *parts.as_slice() {
        [UPLOADS | CHECK, number] => hex(number, NUMBER),
        [LARGE, folder, number] => hex(folder, 2) && hex(number, NUMBER),
        [one, two, file] => file.split_once('.').is_some_and(|(hash, number)| {
            hex(one, 2) && hex(two, 2) && hex(hash, 64) && hex(number, NUMBER)
        }),
        _ => false,
    }
}

fn described(options: &BucketOptions, error: &object_store::Error) -> BlobStoreError {
    let kind = match error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, options.without_keys(&error.to_string()))
}

impl BlobStore for Bucket {
    fn draft(&self) -> BlobFuture<'_, Box<dyn Draft>> {
        let draft = ObjectDraft { bucket: self.clone(), rest: Vec::new(), upload: None };
        Box::pin(async move { Ok(Box::new(draft) as Box<dyn Draft>) })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, most: usize) -> BlobFuture<'a, Vec<u8>> {
        Box::pin(async move {
            if most == 0 {
                return Ok(Vec::new());
            }
            let range = GetRange::Bounded(offset..offset.saturating_add(most as u64));
            let options = GetOptions::new().with_range(Some(range));
            let found = self.0.s3.get_opts(&self.path(name)?, options).await;
            let found = found.map_err(|error| self.described(&error))?;
            let bytes = found.bytes().await.map_err(|error| self.described(&error))?;
            Ok(bytes.into())
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BlobFuture<'a, ()> {
        Box::pin(async move {
            if name.starts_with(UPLOADS) {
                return self.end_upload(name).await;
            }
            self.delete(name).await
        })
    }

    fn older_than(&self, seconds: u64) -> BlobFuture<'_, Vec<String>> {
        Box::pin(async move {
            let now = self.0.clock.now().as_second();
            let before = now.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX));
            let prefix = Path::from(self.0.options.prefix.as_str());
            let skipped =
                if self.0.options.prefix.is_empty() { 0 } else { prefix.as_ref().len() + 1 };
            let listed = self.0.s3.list(Some(&prefix).filter(|_| skipped > 0));
            let names = listed.try_filter_map(|found| async move {
                let is_old = found.last_modified.timestamp() <= before;
                let name = found.location.as_ref().get(skipped..).map(str::to_owned);
                Ok(name.filter(|name| is_old && is_ours(name)))
            });
            names.try_collect().await.map_err(|error| self.described(&error))
        })
    }

    fn has_owner(&self) -> bool {
        true
    }

    fn is_owned_by<'a>(&'a self, owner: &'a str) -> BlobFuture<'a, bool> {
        Box::pin(async move {
            let is_own = self.owner_or(owner).await?.as_deref() == Some(owner);
            if !is_own {
                let (bucket, object) = (&self.0.options.bucket, self.path(OWNER)?);
                tracing::warn!(
                    "nothing is swept: the object {object} of the bucket {bucket} names another \
                     database as the owner. Use another prefix, or if that database is gone, remove \
                     this object"
                );
            }
            Ok(is_own)
        })
    }
}

// === impl ObjectDraft ===

impl fmt::Debug for ObjectDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a draft in {:?}", self.bucket)
    }
}

impl Draft for ObjectDraft {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> BlobFuture<'a, ()> {
        Box::pin(async move {
            self.rest.extend_from_slice(bytes);
            while self.rest.len() > PART {
                let after = self.rest.split_off(PART);
                let part = std::mem::replace(&mut self.rest, after);
                let upload = match &mut self.upload {
                    Some(upload) => upload,
                    None => self.upload.insert(self.bucket.begin().await?),
                };
                self.bucket.send(upload, part).await?;
            }
            Ok(())
        })
    }

    fn finish(mut self: Box<Self>, hash: String) -> BlobFuture<'static, String> {
        Box::pin(async move {
            let bucket = self.bucket.clone();
            let rest = std::mem::take(&mut self.rest);
            let Some(upload) = &mut self.upload else {
                let folders = (hash.get(..2).unwrap_or("xx"), hash.get(2..4).unwrap_or("xx"));
                let number = bucket.0.ids.secret();
                let name = format!("{}/{}/{hash}.{number}", folders.0, folders.1);
                bucket.put(&name, rest).await?;
                return Ok(name);
            };
            bucket.send(upload, rest).await?;
            let path = bucket.path(&upload.name)?;
            let parts = upload.parts.clone();
            let whole = bucket.0.s3.complete_multipart(&path, &upload.id, parts).await;
            whole.map_err(|error| bucket.described(&error))?;
            let (name, note) = (upload.name.clone(), upload.note.clone());
            self.upload = None;
            // A crash before this leaves the note to the collection, with its object.
            let _left_for_the_sweep = bucket.delete(&note).await;
            Ok(name)
        })
    }
}

impl Drop for ObjectDraft {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        // Without a runtime the process ends, and the sweep does it.
        if tokio::runtime::Handle::try_current().is_ok() {
            let bucket = self.bucket.clone();
            let end = async move {
                if let Err(error) = bucket.end_upload(&upload.note).await {
                    tracing::debug!(%error, "an upload that was given up is left for the sweep");
                }
            };
            drop(self.bucket.0.tasks.spawn("end an upload", end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_bucket_and_perhaps_a_prefix() {
        let options = BucketOptions::parse("s3://ci-logs/plue/prod/").unwrap();
        assert_eq!((options.bucket.as_str(), options.prefix.as_str()), ("ci-logs", "plue/prod"));
        assert_eq!(BucketOptions::parse("s3://b").unwrap().prefix, "");
        for wrong in
            ["b", "https://b", "s3://", "s3:///p", "s3://b/../c", "s3://b//c", "s3://u:p@b"]
        {
            assert!(BucketOptions::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_names_that_plue_gives_out_are_its_own() {
        let (hash, number) = ("0a".repeat(32), "1b".repeat(20));
        for ours in [
            format!("0a/0a/{hash}.{number}"),
            format!("large/1b/{number}"),
            format!("uploads/{number}"),
            format!("check/{number}"),
        ] {
            assert!(is_ours(&ours), "{ours}");
        }
        for other in [
            "owner".to_owned(),
            "large/report.pdf".to_owned(),
            format!("uploads/{number}.jpg"),
            format!("0a/0a/{hash}"),
            format!("0a/0a/{hash}.txt"),
            format!("old/0a/0a/{hash}.{number}"),
            format!("zz/0a/{hash}.{number}"),
        ] {
            assert!(!is_ours(&other), "{other}");
        }
    }

    #[test]
    fn keys_are_in_no_text() {
        let keys = Some(("AKIAEXAMPLE".to_owned(), "very secret".to_owned()));
        let options = BucketOptions { keys, ..BucketOptions::parse("s3://b/p").unwrap() };
        let text = options.without_keys("refused AKIAEXAMPLE with very secret");
        assert_eq!(text, "refused *** with ***");
        let bucket = Bucket::new(options.clone()).unwrap();
        let shown = format!("{options:?} {bucket:?}");
        assert!(!shown.contains("AKIA") && !shown.contains("secret"), "{shown}");
    }
}
