//! Postgres by its own tools, which must be of the server's version or newer.
//!
//! Must not put the password where other users of the machine see it: it goes by the environment.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use url::Url;

/// Reasons why a tool of Postgres did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the database is no URL.
    #[error("the address of the database: {0}")]
    Address(#[from] url::ParseError),
    /// The tool cannot be started.
    #[error("{source}")]
    Start {
        /// `pg_dump` or `pg_restore`.
        tool: &'static str,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The tool failed; the text is the beginning of its stderr.
    #[error("{tool}: {stderr}")]
    Failed {
        /// `pg_dump` or `pg_restore`.
        tool: &'static str,
        /// First five lines, joined by `; `.
        stderr: String,
    },
}

/// Writes the whole database into a new file.
///
/// # Errors
/// `pg_dump` is missing, or fails.
pub fn dump(url: &str, target: &Path) -> Result<(), Error> {
    let mut command = tool("pg_dump", url)?;
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--file"]).arg(target);
    run(command, "pg_dump")
}

/// Puts a dump into an empty database, all of it or nothing.
///
/// # Errors
/// `pg_restore` is missing, or fails.
pub fn restore(url: &str, dump: &Path) -> Result<(), Error> {
    let mut command = tool("pg_restore", url)?;
    command.args(["--no-owner", "--no-privileges", "--single-transaction"]).arg(dump);
    run(command, "pg_restore")
}

fn tool(name: &str, url: &str) -> Result<Command, Error> {
    let mut command = Command::new(name);
    let mut url = Url::parse(url)?;
    if let Some(password) = url.password() {
        let password = decoded(password);
        command.env("PGPASSWORD", password);
        let _it_has_a_host = url.set_password(None);
    }
    command.arg("--dbname").arg(url.as_str());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

/// A password as it is, from how it stands in an address (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn run(mut command: Command, tool: &'static str) -> Result<(), Error> {
    let output = command.output().map_err(|source| Error::Start { tool, source })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stderr = stderr.lines().take(5).collect::<Vec<_>>().join("; ");
    Err(Error::Failed { tool, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_by_environment_not_by_arguments() {
        let command = tool("pg_dump", "postgres://ann:p%40ss%25@db.example/plue?sslmode=require");
        let command = command.unwrap();
        let arguments: Vec<_> = command.get_args().map(|text| text.to_str().unwrap()).collect();
        assert_eq!(arguments, ["--dbname", "postgres://ann@db.example/plue?sslmode=require"]);
        let password = command.get_envs().find(|(name, _)| *name == "PGPASSWORD");
        assert_eq!(password.unwrap().1.unwrap(), "p@ss%");
    }
}
