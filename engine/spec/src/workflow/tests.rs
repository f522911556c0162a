//! Tests.
pub(crate) mod known {
    pub(crate) fn note(_: &str, _: &[&'static str]) {}
}
