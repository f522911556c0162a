//! A fresh install: `plue serve --open` leads to the dashboard without a token.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{browser::Browser, live::scripted, site::Site};

#[tokio::test]
async fn a_link_opens_the_dashboard_once() {
    let folder = tempfile::tempdir().unwrap();
    let (opener, opened) = (folder.path().join("open"), folder.path().join("opened"));
    let script = format!("#!/bin/sh\necho \"$1\" > {0}.new && mv {0}.new {0}\n", opened.display());
    fs::write(&opener, script).unwrap();
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).unwrap();
    let variables = [("BROWSER", opener.to_str().unwrap())];
    let mut site = Site::with(&[(".plue.py", &scripted("Hello", "echo hello"))], &variables);
    site.kill();
    site.serve_with(&["--open"]);
    let url = loop {
        if let Ok(url) = fs::read_to_string(&opened) {
            break url.trim().to_owned();
        }
    };
    site.run_with("Hello", "success");
    let browser = Browser::chromium().await;
    browser.driver.goto(&url).await.unwrap();
    browser.until_text("Hello").await;
    browser.until("return location.pathname === '/'").await;
    let other = Browser::chromium().await;
    other.driver.goto(&url).await.unwrap();
    other.until_text("This link was used").await;
}
