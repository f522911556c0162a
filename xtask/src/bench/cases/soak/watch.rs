//! An operator's view of the attack: answers of `/healthz`, memory of the engine, bytes on disk.

use std::{fs, io, path::Path, time::Duration};

use super::{Over, stand::Stand};
use crate::bench::{
    cases::serve::Link,
    machine::{mark, memory_mib, millis, pause},
};

/// Pause between two looks at the server.
const EVERY: Duration = Duration::from_millis(100);
/// Looks between two measurements of the disk.
const DISK_EVERY: usize = 50;
/// An answer later than this counts as none.
const ANSWER: Duration = Duration::from_secs(10);

/// The measurements of all looks.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) health_ms: Vec<f64>,
    /// Looks at `/healthz` without a good answer.
    pub(super) silent: usize,
    pub(super) resident_mib: Vec<f64>,
    pub(super) disk_mib: Vec<f64>,
}

/// Looks until the attack is over.
pub(super) fn watch(stand: &Stand, over: &Over) -> Watched {
    let mut watched = Watched::default();
    for n in 0.. {
        if over.is_so() {
            break;
        }
        let asked = mark();
        match health(&stand.address) {
            Ok(200) => watched.health_ms.push(millis(asked)),
            Ok(_) | Err(_) => watched.silent += 1,
        }
        watched.resident_mib.extend(memory_mib(stand.pid(), "VmRSS"));
        if n % DISK_EVERY == 0 {
            watched.disk_mib.push(bytes_below(&stand.state) as f64 / f64::from(1 << 20));
        }
        pause(EVERY);
    }
    watched
}

fn health(address: &str) -> anyhow::Result<u16> {
    let mut link = Link::to(address)?;
    link.stream.get_ref().set_read_timeout(Some(ANSWER))?;
    link.send("GET", "/healthz", "", "")?;
    Ok(link.answer()?.0)
}

/// Allocated bytes of all files below a folder; what vanishes meanwhile counts for nothing.
fn bytes_below(folder: &Path) -> u64 {
    fn entry_bytes(entry: io::Result<fs::DirEntry>) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt as _;
        let entry = entry?;
        let metadata = entry.metadata()?;
        let own = metadata.blocks() * 512;
        Ok(if metadata.is_dir() { own + bytes_below(&entry.path()) } else { own })
    }
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry_bytes(entry).unwrap_or_default()).sum()
}
