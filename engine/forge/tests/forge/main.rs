//! Deliveries from forges, reports to forges, and mirrors of repositories.

#[cfg(test)]
mod app;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod checkouts;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod feedback;
#[cfg(test)]
mod git;
#[cfg(test)]
mod permission;
#[cfg(test)]
mod proposals;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod report;
#[cfg(test)]
mod submodules;
