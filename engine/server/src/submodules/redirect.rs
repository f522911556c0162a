//! Repositories that moved: git follows no redirect of what a commit names, so each is judged here.

use std::{collections::BTreeMap, time::Duration};

use plue_executor::reach::{self, Request, Target};
use plue_forge::git::{Address, RepositoryPath};

use super::{Filling, named, refused};
use crate::error::Error;

const PROBE: &str = "/info/refs";
const PROBE_WITHIN: Duration = Duration::from_secs(30);

impl Filling<'_> {
    /// The address that a server sends a fetch on to, read as any other. The credential is for the address
    /// that is asked, and goes no further than its host.
    pub(super) async fn sent_on(
        &self,
        place: &RepositoryPath,
        address: &Address,
    ) -> Result<Address, Error> {
        let url = address.text();
        let bad = |why: &str| refused(&named(&place.path, why));
        let guard = self.guard_for(address);
        let probe = format!("{url}{PROBE}?service=git-upload-pack");
        let target = Target::parse(&probe).map_err(|error| bad(&error.to_string()))?;
        let mut headers = BTreeMap::new();
        if let Some(credential) = self.credential_for(address) {
            headers.insert("authorization".to_owned(), credential.basic());
        }
        let request = Request { method: "GET", target: &target, headers: &headers, body: None };
        let asked = tokio::time::timeout(PROBE_WITHIN, reach::send(request, &guard)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.passing(named(&place.path, &error.to_string()))),
            Err(_elapsed) => return Err(self.passing(named(&place.path, "no answer in time"))),
        };
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| target.join(location).ok());
        let next = next.ok_or_else(|| bad("its server sends it on to no address"))?;
        let next = next.url().as_str();
        let next = next.split_once('?').map_or(next, |(path, _)| path).strip_suffix(PROBE);
        let next = next.ok_or_else(|| bad("its server sends it on to no repository"))?;
        Address::read(next, &url, &self.source.repo.url).map_err(|why| bad(&why))
    }

    /// The guard for an address: the host of the watched repository is always asked.
    pub(crate) fn guard_for(&self, address: &Address) -> reach::Guard {
        match address {
            Address::Web { is_own: true, host, port, .. } => self.guard.with_host(host, *port),
            Address::Web { is_own: false, .. } | Address::Folder(_) => self.guard.clone(),
        }
    }
}
