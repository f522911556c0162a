//! Commits of other processes: they are written to the write-ahead log next to the file, and the
//! kernel reports writes in that folder. Only a wake-up, which may be lost or spurious: waiters
//! look at the rows.

use std::{io, path::Path};

use plue_runtime::Tasks;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::{net::unix::pipe::Receiver, sync::watch};

use crate::changes::{Changes, Shards};

/// Bytes of notices taken at once.
const NOTICES: usize = 4_096;

/// Wakes everybody after each write of anybody to the folder, until `over` ends.
pub(crate) fn start(
    path: &Path,
    tasks: &Tasks,
    changes: Changes,
    over: watch::Receiver<()>,
) -> io::Result<()> {
    let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // The folder, not the file: that comes and goes.
    let events = WatchFlags::MODIFY | WatchFlags::CREATE;
    add_watch(&inotify, folder.unwrap_or(Path::new(".")), events)?;
    // Not a pipe, but read like one.
    let notices = Receiver::from_owned_fd_unchecked(inotify)?;
    tasks.spawn("sqlite-watch", run(notices, changes, over));
    Ok(())
}

async fn run(notices: Receiver, changes: Changes, mut over: watch::Receiver<()>) {
    let mut buffer = [0; NOTICES];
    loop {
        let ready = tokio::select! {
            ready = notices.readable() => ready,
            _ = over.changed() => return,
        };
        // The kind of event does not matter: only the database is written there.
        match ready.and_then(|()| notices.try_read(&mut buffer)) {
            Ok(_) => changes.wake(Shards::ALL),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::debug!(%error, "commits of other processes are not watched any more");
                return;
            }
        }
    }
}
