//! The words of an LFS server: a request for objects and its answer. Pure.

use std::collections::BTreeMap;

use plue_forge::git::lfs::Pointer;
use serde::{Deserialize, Serialize};

/// A request for downloads.
#[derive(Debug, Serialize)]
pub(super) struct Ask<'a> {
    operation: &'static str,
    transfers: [&'static str; 1],
    hash_algo: &'static str,
    objects: Vec<Wanted<'a>>,
}

#[derive(Debug, Serialize)]
struct Wanted<'a> {
    oid: &'a str,
    size: u64,
}

/// The answer of a batch request.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    transfer: Option<String>,
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    oid: String,
    size: u64,
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Actions {
    #[serde(default)]
    download: Option<Download>,
}

#[derive(Debug, Clone, Deserialize)]
struct Download {
    href: String,
    #[serde(default)]
    header: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    message: String,
}

/// The download action of an object.
pub(super) struct Action {
    pub(super) href: String,
    header: BTreeMap<String, String>,
    authenticated: bool,
}

// === impl Ask ===

impl<'a> Ask<'a> {
    pub(super) fn of(batch: &'a [Pointer]) -> Self {
        let wanted = |pointer: &'a Pointer| Wanted { oid: &pointer.oid, size: pointer.size };
        let objects = batch.iter().map(wanted).collect();
        Self { operation: "download", transfers: ["basic"], hash_algo: "sha256", objects }
    }
}

// === impl Answer ===

impl Answer {
    /// The download of an object.
    ///
    /// # Errors
    /// The reason in words, which follow the name of the server.
    pub(super) fn action(&self, pointer: &Pointer) -> Result<Action, String> {
        if self.transfer.as_deref().is_some_and(|transfer| transfer != "basic") {
            return Err("answers with a transfer that was not asked for".to_owned());
        }
        let object = self.objects.iter().find(|object| object.oid == pointer.oid);
        let object = object.ok_or("does not answer for this object")?;
        if let Some(error) = &object.error {
            let is_shown = |c: &char| !c.is_control();
            let message: String = error.message.chars().filter(is_shown).take(200).collect();
            return Err(format!("has no such object: {message} ({})", error.code));
        }
        if object.size != pointer.size {
            return Err("has another size for this object".to_owned());
        }
        let download = object.actions.as_ref().and_then(|actions| actions.download.clone());
        let download = download.ok_or("offers no download of this object")?;
        Ok(Action {
            href: download.href,
            header: download.header.unwrap_or_default(),
            authenticated: object.authenticated,
        })
    }
}

// === impl Action ===

impl Action {
    /// The headers that go with this download, by names in lower case.
    pub(super) fn headers(&self) -> BTreeMap<String, String> {
        let all = self.header.iter();
        all.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
    }

    /// Whether the download needs nothing but its own headers.
    pub(super) const fn is_authenticated(&self) -> bool {
        self.authenticated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer() -> Pointer {
        let oid = "0f".repeat(32);
        Pointer { path: b"a.bin".to_vec(), is_executable: false, oid, size: 7 }
    }

    fn answered(object: &str) -> Result<Action, String> {
        let oid = pointer().oid;
        let text = format!(r#"{{"transfer": "basic", "objects": [{{"oid": "{oid}", {object}}}]}}"#);
        serde_json::from_str::<Answer>(&text).unwrap().action(&pointer())
    }

    #[test]
    fn downloads_have_the_headers_that_came_with_them() {
        let action = answered(
            r#""size": 7, "authenticated": true, "actions": {"download": {"href": "https://x/o",
               "header": {"Authorization": "Bearer x", "X-Part": "1"}, "expires_in": 60}}"#,
        );
        let action = action.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((action.href.as_str(), action.is_authenticated()), ("https://x/o", true));
        let names: Vec<String> = action.headers().into_keys().collect();
        assert_eq!(names, ["authorization", "x-part"]);
    }

    #[test]
    fn answers_without_a_download_are_refused() {
        let refusal = |object: &str| answered(object).err().unwrap_or_default();
        let gone = refusal(r#""size": 7, "error": {"code": 404, "message": "Not\nfound"}"#);
        assert_eq!(gone, "has no such object: Notfound (404)");
        assert!(refusal(r#""size": 8, "actions": {}"#).contains("another size"));
        assert!(refusal(r#""size": 7, "actions": {}"#).contains("no download"));
        let other: Answer = serde_json::from_str(r#"{"objects": []}"#).unwrap();
        assert!(other.action(&pointer()).is_err());
        let ssh: Answer = serde_json::from_str(r#"{"transfer": "ssh", "objects": []}"#).unwrap();
        assert!(ssh.action(&pointer()).is_err());
    }
}
