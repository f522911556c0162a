//! The pages that people see: view models in, HTML out, and the assets that the pages load.
//!
//! A page is three things, each in its own room:
//!
//! 1. A view model with its markup, here: `src/NAME.rs` has plain structs (no types of the store or the
//!    API) and a function that returns a [`shell::Page`]. Texts from outside go through
//!    [`ui::text`], states through [`state::State`], times through [`ui::time`].
//! 2. A handler in `engine/api/src/pages/NAME.rs`: it checks rights, loads rows in a constant number of
//!    queries, fills the view model, and answers `html::answer`. Its route is a line in
//!    `engine/api/src/pages.rs`. An action is a form with POST, with [`ui::form::Action`].
//! 3. Where the page is alive, an ES module in `assets/` (listed in [`assets`], loaded with
//!    [`shell::Page::module`]). The page must work without it.
//!
//! A page that follows something names its topics with [`shell::Page::follow`]: when an event of one
//! arrives, `live.js` fetches the page's own address again as a fragment and morphs `<main>`. An element
//! with an `id` and `data-keep` is left alone by that: a module owns its content.
//! Shared looks are classes of `assets/app.css`; colours, spaces and sizes are its tokens, and nothing
//! else. Inline styles and scripts are refused by the browser ([`shell::POLICY`]).
//!
//! Reading order: [`shell`], [`ui`], [`runs`]. Must not await, do I/O, or read a clock.
#![forbid(unsafe_code)]

pub mod agent;
pub mod ansi;
pub mod approvals;
pub mod assets;
pub mod help;
pub mod log;
pub mod ops;
pub mod palette;
pub mod problem;
pub mod pulls;
pub mod run;
pub mod runs;
pub mod shell;
pub mod sign_in;
pub mod state;
pub mod ui;
pub mod workflows;

pub use plue_picture::placed::Placed;
