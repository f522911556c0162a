//! `plue hash`: the digest of a file in constant memory, as `sha256sum` prints it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use plue_plan::Diagnostic;
use sha2::{Digest as _, Sha256};

use crate::{
    args::{Digest, HashArgs},
    exit::Exit,
    failure::{Failure, Outcome, codes},
    output,
};

/// Bytes read at once.
const BUFFER: usize = 128 * 1024;

pub(super) fn run(args: &HashArgs) -> Outcome {
    let path = args.file.as_ref().or(args.path.as_ref());
    let path = path.ok_or_else(|| Failure::usage("name a file"))?;
    let digest = digest(path, args.algo).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::new(Exit::NotFound, Diagnostic::error(codes::UNREADABLE, message))
    })?;
    output::line(&format!("{digest}  {}", path.display()))?;
    Ok(Exit::Ok)
}

fn digest(path: &PathBuf, algo: Digest) -> io::Result<String> {
    if path == Path::new("-") {
        return of_reader(io::stdin().lock(), algo);
    }
    of_reader(File::open(path)?, algo)
}

fn of_reader(mut reader: impl Read, algo: Digest) -> io::Result<String> {
    let mut buffer = vec![0; BUFFER];
    let (mut sha, mut blake) = (Sha256::new(), blake3::Hasher::new());
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match algo {
            Digest::Sha256 => sha.update(&buffer[..count]),
            Digest::Blake3 => drop(blake.update(&buffer[..count])),
        }
    }
    Ok(match algo {
        Digest::Sha256 => hex::encode(sha.finalize()),
        Digest::Blake3 => blake.finalize().to_hex().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 examples and the test vectors of the BLAKE3 paper.
    #[test]
    fn row_4_02_digests_are_those_of_the_published_vectors() {
        for (algo, text, hex) in [
            (
                Digest::Sha256,
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                Digest::Sha256,
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Digest::Sha256,
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                Digest::Blake3,
                "",
                "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            ),
        ] {
            assert_eq!(of_reader(text.as_bytes(), algo).unwrap(), hex);
        }
    }

    /// The million-a vector also proves that more than one buffer is read.
    #[test]
    fn row_4_02_a_stream_is_hashed_piece_by_piece() {
        let stream = io::repeat(b'a').take(1_000_000);
        assert_eq!(
            of_reader(stream, Digest::Sha256).unwrap(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }
}
