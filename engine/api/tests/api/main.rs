//! The API as its clients see it: requests in, answers out, on a real database.

#[cfg(test)]
mod access;
#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod events;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod local;
#[cfg(test)]
mod log_view;
#[cfg(test)]
mod login;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod run_page;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod workflow_pages;
