//! The name of the person at this machine: of the uid that plue runs as, by the password database.
//!
//! Must not read the environment: `USER` is whatever the caller wrote there, and approvals count on
//! this name.

use std::time::Duration;

use plue_plan::budget::Budget;
use plue_runtime::foreign::process::{ProcessLimits, Program};

/// The local password database; directories behind it (LDAP, systemd) are asked through [`ID`].
const PASSWD: &str = "/etc/passwd";
/// Knows every user database of the machine.
const ID: &str = "/usr/bin/id";
/// Directories are asked over a network, and may not answer.
const LIMITS: ProcessLimits = ProcessLimits {
    answer: Budget { bytes: 4_096, items: u64::MAX, steps: u64::MAX },
    wall: Duration::from_secs(10),
    cpu: Duration::from_secs(10),
    memory: 256 * 1024 * 1024,
};

/// The login name of this process's uid, or `uid:N` if the machine has no name for it.
#[must_use]
pub fn name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
    in_passwd(&passwd, uid).or_else(|| asked(ID)).unwrap_or_else(|| format!("uid:{uid}"))
}

/// As audit rows name the person at this machine.
#[must_use]
pub fn principal() -> String {
    format!("local:{}", name())
}

/// The first name of a uid in the format of passwd(5).
fn in_passwd(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

fn asked(program: &str) -> Option<String> {
    let answer = Program::new(program, LIMITS).arg("-un").read_blocking().ok()?;
    let name = String::from_utf8(answer).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_asked_within_limits() {
        assert!(asked(ID).is_some());
        assert_eq!(asked("/usr/bin/yes"), None, "an endless answer");
        assert_eq!(asked("/nowhere/id"), None);
    }

    #[test]
    fn names_come_from_the_password_database() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nbad\n";
        assert_eq!(in_passwd(passwd, 1000).as_deref(), Some("ada"));
        assert_eq!(in_passwd(passwd, 0).as_deref(), Some("root"));
        assert_eq!(in_passwd(passwd, 7), None);
    }
}
