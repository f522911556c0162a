//! The dashboard in real browsers: headless Chromium, and Firefox for the main path, on a server as a user
//! starts it, with runs of real workflows.
//!
//! A new page is one line in `pages.rs`. A browser or an asset that is missing fails the tests: run
//! `scripts/setup.sh test`.

#[cfg(test)]
mod actions;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod firefox;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod keyboard;
#[cfg(test)]
mod link;
#[cfg(test)]
mod live;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod site;
