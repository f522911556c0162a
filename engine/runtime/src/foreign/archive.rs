//! Tar archives of others, looked through before they are unpacked.
//!
//! The library reads the long names that an archive announces into memory, and believes the sizes of
//! its extensions. So an archive is admitted first, without either. Must not write anything.

use std::io::{self, Read};

use plue_plan::budget::{Budget, Meter, Stopped};
use tar::{Archive, EntryType, PaxExtensions};

/// Bytes of one long name or extension.
const MAX_NAME_BYTES: u64 = 64 * 1024;

/// Looks through an archive: its entries are the items of the budget, its bytes, unpacked, the bytes.
///
/// # Errors
/// It is malformed or over the budget; it has a name that is too long, a sparse file, or an extension
/// that changes the size of an entry.
pub fn admit(archive: impl Read, budget: Budget) -> io::Result<()> {
    let meter = Meter::new(budget);
    let mut archive = Archive::new(Counted { inner: archive, meter: &meter });
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        meter.items(1).map_err(refused)?;
        let kind = entry.header().entry_type();
        let is_pax = matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader);
        let is_name = matches!(kind, EntryType::GNULongName | EntryType::GNULongLink);
        if kind == EntryType::GNUSparse {
            return Err(io::Error::other("the archive has a sparse file"));
        }
        if (is_pax || is_name) && entry.size() > MAX_NAME_BYTES {
            return Err(io::Error::other("the archive has a name that is too long"));
        }
        if is_pax {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            // A record that fails to parse here may parse differently when unpacked: refuse it.
            let keys = PaxExtensions::new(&text).map(|one| one.map(|one| one.key_bytes().to_vec()));
            let keys: Vec<Vec<u8>> = keys.collect::<io::Result<_>>()?;
            if keys.iter().any(|key| key == b"size" || key.starts_with(b"GNU.sparse")) {
                return Err(io::Error::other("the archive gives an entry two sizes"));
            }
        }
    }
    Ok(())
}

fn refused(stopped: Stopped) -> io::Error {
    io::Error::other(format!("the archive is too large: {stopped}"))
}

/// Counts the bytes that are read.
struct Counted<'m, R> {
    inner: R,
    meter: &'m Meter,
}

// === impl Counted ===

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.bytes(count).map_err(refused)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    const BUDGET: Budget = Budget { bytes: 10 * 1024 * 1024, items: 100, steps: 0 };

    fn entry(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_path("name").unwrap();
        header.set_cksum();
        header
    }

    fn archive(entries: &[(EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, content) in entries {
            builder.append(&entry(*kind, content.len() as u64), *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        admit(bytes, BUDGET).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_archives_with_long_names_are_admitted() {
        let mut builder = Builder::new(Vec::new());
        let name = "folder/".repeat(100) + "file";
        builder.append_data(&mut entry(EntryType::Regular, 2), name, &b"ab"[..]).unwrap();
        admit(&*builder.into_inner().unwrap(), BUDGET).unwrap();
        admit(&*archive(&[(EntryType::XGlobalHeader, b"13 comment=a\n")]), BUDGET).unwrap();
    }

    #[test]
    fn names_larger_than_any_path_are_refused() {
        let long = vec![b'a'; 200_000];
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            assert!(refusal(&archive(&[(kind, &long)])).contains("too long"));
        }
    }

    #[test]
    fn two_sizes_and_sparse_files_are_refused() {
        let size = archive(&[(EntryType::XHeader, b"9 size=0\n")]);
        assert!(refusal(&size).contains("two sizes"));
        let sparse = archive(&[(EntryType::XHeader, b"22 GNU.sparse.major=1\n")]);
        assert!(refusal(&sparse).contains("two sizes"));
        assert!(refusal(&archive(&[(EntryType::GNUSparse, b"")])).contains("sparse"));
    }

    #[test]
    fn entries_and_bytes_are_counted() {
        let many = vec![(EntryType::Regular, &b""[..]); 101];
        assert!(refusal(&archive(&many)).contains("more than 100 items"));
        let large = vec![0; 11 * 1024 * 1024];
        assert!(refusal(&archive(&[(EntryType::Regular, &large)])).contains("bytes"));
        let mut lies = entry(EntryType::Regular, 1 << 40).as_bytes().to_vec();
        lies.extend_from_slice(&[0; 1_000]);
        assert!(admit(&*lies, BUDGET).is_err());
    }
}
