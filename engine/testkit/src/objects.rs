//! A real S3 server on loopback: `s3s` with a folder, which verifies signatures.
//!
//! A test may stand between it and its clients: see [`Objects::watch`].

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    Method, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use plue_runtime::Tasks;
use plue_store::blob::{Bucket, BucketOptions};
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tokio::{net::TcpListener, sync::watch};

/// The name of the key that the server knows.
pub const ACCESS_KEY: &str = "AKIAPLUETESTKEY";
/// Text of the secret key.
pub const SECRET_KEY: &str = "canary/of+the/object+store";
/// Name of the bucket.
pub const BUCKET: &str = "plue-test";

/// Time of a fault within a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It has come, and nothing was done.
    Before,
    /// After the operation, before the response.
    After,
}

/// A request as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// Time of the fault.
    pub moment: Moment,
    /// Method of the request.
    pub method: Method,
    /// Path and query of the request.
    pub path: String,
}

type Watcher = Box<dyn FnMut(&RecordedRequest) -> bool + Send>;

/// A running server with one empty bucket; it ends with this value.
pub struct Objects {
    folder: tempfile::TempDir,
    address: SocketAddr,
    watcher: Arc<Mutex<Option<Watcher>>>,
    _alive: watch::Sender<()>,
}

// === impl Objects ===

impl Objects {
    /// Starts a server on a thread of its own.
    ///
    /// # Panics
    /// If it cannot.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "it must not stop when the test's runtime does")]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let files = FileSystem::new(folder.path()).expect("a folder for objects");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a listener");
        let (alive, over) = watch::channel(());
        let watcher: Arc<Mutex<Option<Watcher>>> = Arc::default();
        let watching = watcher.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(listener, service, watching, over));
        });
        Self { folder, address, watcher, _alive: alive }
    }

    /// Address of the server.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Options for the bucket, with names below `plue/test`.
    #[must_use]
    pub fn options(&self) -> BucketOptions {
        BucketOptions {
            bucket: BUCKET.to_owned(),
            prefix: "plue/test".to_owned(),
            endpoint: Some(self.endpoint()),
            region: "us-east-1".to_owned(),
            keys: Some((ACCESS_KEY.to_owned(), SECRET_KEY.to_owned())),
            allow_http: true,
        }
    }

    /// Environment of a command that uses the bucket. Writes the keys into files of this folder.
    ///
    /// # Panics
    /// If they cannot be written.
    #[must_use]
    pub fn settings(&self, folder: &Path) -> Vec<(&'static str, String)> {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, format!("{text}\n")).expect("a file for a key");
            path.display().to_string()
        };
        vec![
            ("PLUE_OBJECTS_URL", format!("s3://{BUCKET}/plue/test")),
            ("PLUE_OBJECTS_ENDPOINT", self.endpoint()),
            ("PLUE_OBJECTS_ALLOW_HTTP", "true".to_owned()),
            ("PLUE_OBJECTS_ACCESS_KEY_FILE", file("s3.name", ACCESS_KEY)),
            ("PLUE_OBJECTS_SECRET_KEY_FILE", file("s3.key", SECRET_KEY)),
        ]
    }

    /// The bucket as a blob store.
    ///
    /// # Panics
    /// If the options are refused.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        Bucket::new(self.options()).expect("options of a bucket")
    }

    /// From now on every request is shown twice, before and after it is carried out; one that is
    /// answered with `false` fails with 500 at that moment.
    pub fn watch(&self, watcher: impl FnMut(&RecordedRequest) -> bool + Send + 'static) {
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(watcher));
    }

    /// Requests are not looked at any more.
    pub fn look_away(&self) {
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The file of the object that names the database which all of this is of; the first sweep makes it.
    #[must_use]
    pub fn owner(&self) -> PathBuf {
        self.folder.path().join(BUCKET).join("plue/test/owner")
    }

    /// The files of all objects but [`Objects::owner`].
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.folder.path().join(BUCKET), &mut found);
        found.retain(|path| *path != self.owner());
        found.sort();
        found
    }

    /// Parts of uploads that were never ended.
    #[must_use]
    pub fn parts(&self) -> usize {
        let entries = fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains(".part-")).count()
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.endpoint())
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    service: S3Service,
    watcher: Arc<Mutex<Option<Watcher>>>,
    mut over: watch::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let tasks = Tasks::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ended = over.changed() => return,
        };
        let Ok((socket, _)) = accepted else { continue };
        let (service, watcher) = (service.clone(), watcher.clone());
        let answer = service_fn(move |request| answer(service.clone(), watcher.clone(), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
        drop(tasks.spawn("s3", connection));
    }
}

async fn answer(
    service: S3Service,
    watcher: Arc<Mutex<Option<Watcher>>>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, s3s::HttpError> {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut seen =
        RecordedRequest { moment: Moment::Before, method: request.method().clone(), path };
    if !shown(&watcher, &seen) {
        return Ok(failed());
    }
    let answered = hyper::service::Service::call(&service, request).await?;
    seen.moment = Moment::After;
    Ok(if shown(&watcher, &seen) { answered } else { failed() })
}

fn shown(watcher: &Mutex<Option<Watcher>>, seen: &RecordedRequest) -> bool {
    let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
    watcher.as_mut().is_none_or(|watcher| watcher(seen))
}

fn failed() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
