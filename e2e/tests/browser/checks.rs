//! Checks that each page passes, and its pictures.

use std::{fs, path::PathBuf};

use serde_json::{Value as Json, json};

use crate::{
    browser::{Browser, NARROW, Size, WIDE},
    site::{Site, tools},
};

/// Version of axe-core, as in `scripts/setup.sh`.
const AXE: &str = "axe-core-4.12.1/axe.min.js";

/// A look of a page: name, size, theme.
pub(crate) type Look = (&'static str, Size, &'static str);
pub(crate) const LOOKS: [Look; 4] = [
    ("wide-light", WIDE, "light"),
    ("wide-dark", WIDE, "dark"),
    ("narrow-light", NARROW, "light"),
    ("narrow-dark", NARROW, "dark"),
];

impl Browser {
    /// Opens a page in a look and checks it.
    pub(crate) async fn inspect(&self, site: &Site, name: &str, path: &str, look: Look) {
        self.resize(look.1).await;
        self.eval(&format!("document.cookie = 'plue-theme={}; path=/'", look.2)).await;
        self.open(site, path).await;
        self.until("return document.readyState === 'complete'").await;
        // A frame after the modules have run.
        self.settled().await;
        let what = format!("{name} {}", look.0);
        self.is_clean(&what).await;
        self.fits(&what, look.1).await;
        self.picture(&format!("{name}-{}", look.0)).await;
        self.is_accessible(&what).await;
    }

    /// Waits for two frames.
    pub(crate) async fn settled(&self) {
        let script = "const done = arguments[0]; \
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)));";
        self.driver.execute_async(script, Vec::new()).await.unwrap();
    }

    /// Fails if the page is wider than the window.
    async fn fits(&self, what: &str, size: Size) {
        let width = self.eval("return document.documentElement.scrollWidth").await;
        assert!(width.as_u64().unwrap() <= u64::from(size.0), "{what}: {width} pixels wide");
    }

    /// Writes the picture of the page to `target/screenshots`.
    pub(crate) async fn picture(&self, name: &str) {
        let folder = screenshots();
        fs::create_dir_all(&folder).unwrap();
        self.driver.screenshot(&folder.join(format!("{name}.png"))).await.unwrap();
    }

    /// Fails on findings of axe-core that are serious or critical.
    pub(crate) async fn is_accessible(&self, what: &str) {
        let path = tools().join(AXE);
        let axe = fs::read_to_string(&path);
        let axe = axe.unwrap_or_else(|error| {
            panic!("{}: {error}; run `scripts/setup.sh test`", path.display())
        });
        self.eval(&format!("{axe}; return true")).await;
        let script = "const done = arguments[0]; \
            axe.run(document, { preload: false, resultTypes: ['violations'] }).then((found) => \
            done(found.violations.map((one) => ({ id: one.id, impact: one.impact, \
            nodes: one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + ' ' + node.failureSummary) }))));";
        let found = self.driver.execute_async(script, Vec::new()).await.unwrap();
        let serious = |one: &&Json| matches!(one["impact"].as_str(), Some("serious" | "critical"));
        let found: Vec<Json> =
            found.json().as_array().unwrap().iter().filter(serious).cloned().collect();
        assert!(
            found.is_empty(),
            "{what}: {}",
            serde_json::to_string_pretty(&json!(found)).unwrap()
        );
    }
}

fn screenshots() -> PathBuf {
    tools().parent().unwrap().join("screenshots")
}
