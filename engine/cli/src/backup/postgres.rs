//! Postgres by its own tools, which must be of the server's version or newer.
//!
//! Must not put the password where other users of the machine see it: it goes by the environment.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::failure::Failure;

/// Writes the whole database into a new file.
///
/// # Errors
/// `pg_dump` is not there, or says no.
pub fn dump(url: &str, target: &Path) -> Result<(), Failure> {
    let mut command = tool("pg_dump", url)?;
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--file"]).arg(target);
    run(command, "pg_dump")
}

/// Puts a dump into an empty database, all of it or nothing.
///
/// # Errors
/// `pg_restore` is not there, or says no.
pub fn restore(url: &str, dump: &Path) -> Result<(), Failure> {
    let mut command = tool("pg_restore", url)?;
    command.args(["--no-owner", "--no-privileges", "--single-transaction"]).arg(dump);
    run(command, "pg_restore")
}

fn tool(name: &str, url: &str) -> Result<Command, Failure> {
    let mut command = Command::new(name);
    let mut url = reqwest::Url::parse(url)
        .map_err(|error| Failure::usage(format!("the address of the database: {error}")))?;
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

fn run(mut command: Command, name: &str) -> Result<(), Failure> {
    let output = command.output().map_err(|error| {
        Failure::infrastructure(&error).hint(format!(
            "{name} comes with PostgreSQL's client programs (Debian: postgresql-client)"
        ))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.lines().take(5).collect::<Vec<_>>().join("; ");
    Err(Failure::infrastructure(&std::io::Error::other(format!("{name}: {said}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_by_the_environment_and_not_by_the_arguments() {
        let command = tool("pg_dump", "postgres://ann:p%40ss%25@db.example/plue?sslmode=require");
        let command = command.unwrap();
        let arguments: Vec<_> = command.get_args().map(|text| text.to_str().unwrap()).collect();
        assert_eq!(arguments, ["--dbname", "postgres://ann@db.example/plue?sslmode=require"]);
        let password = command.get_envs().find(|(name, _)| *name == "PGPASSWORD");
        assert_eq!(password.unwrap().1.unwrap(), "p@ss%");
    }
}
