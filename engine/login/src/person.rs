//! The person of an ID token's claims.

use serde_json::Value as Json;

use crate::{error::Error, id_token::Claims, settings::Settings};

/// Characters of a name.
const MAX_NAME: usize = 128;
/// Groups that are looked at.
const MAX_GROUPS: usize = 2_000;

/// A person that the issuer has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Identifier at the issuer; never reused for another person.
    pub subject: String,
    /// Name for display and approvals.
    pub name: String,
    /// His address, if the issuer has verified it.
    pub email: Option<String>,
    /// Groups of the person.
    pub groups: Vec<String>,
}

// === impl Person ===

impl Person {
    /// Reads verified claims.
    ///
    /// # Errors
    /// [`Error::NoName`]: there is nothing to call him by.
    pub fn of(claims: &Claims, settings: &Settings) -> Result<Self, Error> {
        let text = |name: &str| claims.get(name).and_then(Json::as_str);
        let verified = match claims.get("email_verified") {
            Some(Json::Bool(is)) => *is,
            // As some issuers write it.
            Some(Json::String(word)) => word == "true",
            Some(_) | None => false,
        };
        let email = text("email").filter(|_| verified).filter(|text| is_plain(text));
        let name = match settings.name_claim.as_str() {
            // Unverified addresses can be anybody's.
            "email" => email,
            claim => text(claim).filter(|text| is_plain(text)),
        };
        let name = name.ok_or_else(|| Error::NoName(settings.name_claim.clone()))?;
        Ok(Self {
            subject: text("sub").unwrap_or_default().to_owned(),
            name: name.to_owned(),
            email: email.map(str::to_owned),
            groups: groups(claims, &settings.groups_claim),
        })
    }
}

/// True if a text is unambiguous in a journal and in `approvers`.
fn is_plain(text: &str) -> bool {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= MAX_NAME
        && !text.chars().any(odd)
}

/// Texts of a claim, or of one within objects: `realm_access.roles`.
fn groups(claims: &Claims, path: &str) -> Vec<String> {
    let found = claims.get(path).or_else(|| {
        let mut parts = path.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |at, part| at.get(part))
    });
    match found {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(all)) => {
            let texts = all.iter().filter_map(Json::as_str).take(MAX_GROUPS);
            texts.map(str::to_owned).collect()
        }
        Some(_) | None => Vec::new(),
    }
}
