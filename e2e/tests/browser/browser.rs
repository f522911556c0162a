//! A browser behind its driver, and short words for what tests do in it.

use std::{
    fs,
    mem::ManuallyDrop,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value as Json, json};
use thirtyfour::{
    By, ChromiumLikeCapabilities as _, DesiredCapabilities, Key, LoggingPrefsLogLevel, TypingData,
    WebDriver,
};

use crate::site::{Site, bound, tools};

/// A condition must hold by then.
const DEADLINE: Duration = Duration::from_secs(30);

/// A size of the page in pixels.
pub(crate) type Size = (u32, u32);
pub(crate) const WIDE: Size = (1280, 900);
pub(crate) const NARROW: Size = (360, 780);

/// A browser with one window.
pub(crate) struct Browser {
    /// Never dropped: it would ask the driver, which has ended by then, to close the session.
    pub(crate) driver: ManuallyDrop<WebDriver>,
    process: Child,
    is_chromium: bool,
}

// === impl Browser ===

impl Browser {
    pub(crate) async fn chromium() -> Self {
        provide_tls();
        let (process, url) =
            started(bound("chromedriver".as_ref()).arg("--port=0"), "successfully on port ");
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary("/usr/bin/chromium").unwrap();
        let size = format!("--window-size={},{}", WIDE.0, WIDE.1);
        for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] {
            wanted.add_arg(flag).unwrap();
        }
        wanted.add_arg(&size).unwrap();
        wanted.add_arg("--enable-precise-memory-info").unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let driver = ManuallyDrop::new(WebDriver::new(&url, wanted).await.unwrap());
        Self { driver, process, is_chromium: true }
    }

    pub(crate) async fn firefox() -> Self {
        provide_tls();
        let program = tools().join("bin/geckodriver");
        assert!(program.exists(), "geckodriver is not built; run `scripts/setup.sh test`");
        let (process, url) = started(bound(&program).args(["--port", "0"]), "127.0.0.1:");
        let mut wanted = DesiredCapabilities::firefox();
        wanted.set_headless().unwrap();
        wanted.set_firefox_binary("/usr/bin/firefox-esr").unwrap();
        let driver = ManuallyDrop::new(WebDriver::new(&url, wanted).await.unwrap());
        Self { driver, process, is_chromium: false }
    }

    /// A browser that is signed in.
    pub(crate) async fn signed_in(site: &Site) -> Self {
        let browser = Self::chromium().await;
        browser.sign_in(site).await;
        browser
    }

    pub(crate) async fn sign_in(&self, site: &Site) {
        self.open(site, "/login?to=/runs").await;
        let field = self.driver.find(By::Css("input[name=token]")).await.unwrap();
        field.send_keys(site.token.as_str()).await.unwrap();
        field.send_keys(Key::Enter + "").await.unwrap();
        self.until("return location.pathname === '/runs'").await;
    }

    pub(crate) async fn open(&self, site: &Site, path: &str) {
        self.driver.goto(site.url(path)).await.unwrap();
    }

    /// Sets the size of the page; a narrow one is that of a telephone.
    pub(crate) async fn resize(&self, size: Size) {
        let metrics = json!({"width": size.0, "height": size.1, "deviceScaleFactor": 1, "mobile": size == NARROW});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    pub(crate) async fn cdp(&self, method: &str, params: Json) -> Json {
        self.driver.cdp().send_raw(method, params).await.unwrap()
    }

    /// The value of a script.
    pub(crate) async fn eval(&self, script: &str) -> Json {
        let done = self.driver.execute(script, Vec::new()).await;
        done.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Waits until a script returns something true.
    pub(crate) async fn until(&self, script: &str) {
        // The page itself looks again and again, so that a slow machine has time for the page.
        let look = format!(
            "const done = arguments[0]; const end = performance.now() + 1000; \
             const holds = () => {{ {script} }}; \
             const look = () => {{ let value; try {{ value = holds(); }} catch {{ value = false; }} \
             if (value) done(true); else if (performance.now() > end) done(false); \
             else setTimeout(look, 20); }}; look();"
        );
        let holds = async {
            loop {
                // A page that is being left has no script.
                let value = self.driver.execute_async(look.as_str(), Vec::new()).await;
                if value.is_ok_and(|value| truth(value.json())) {
                    return;
                }
            }
        };
        if tokio::time::timeout(DEADLINE, holds).await.is_err() {
            let text = self.eval("return document.body.innerText").await;
            panic!("never came: {script}\n{}", text.as_str().unwrap_or_default());
        }
    }

    /// Waits until the content of the page has a text.
    pub(crate) async fn until_text(&self, text: &str) {
        self.until(&format!("return document.body.innerText.includes({})", json!(text))).await;
    }

    pub(crate) async fn click(&self, css: &str) {
        // To the middle, where no header that sticks covers it.
        let into_view = format!(
            "const found = document.querySelector({}); found?.scrollIntoView({{ block: 'center' }}); return found",
            json!(css)
        );
        let clicked = async {
            loop {
                self.until(&into_view).await;
                // A page that is being refreshed may move it away.
                let found = self.driver.find(By::Css(css)).await;
                if let Ok(element) = found
                    && element.click().await.is_ok()
                {
                    return;
                }
            }
        };
        let done = tokio::time::timeout(DEADLINE, clicked).await;
        assert!(done.is_ok(), "{css} takes no click");
    }

    /// Types into the element that has the focus.
    pub(crate) async fn keys(&self, keys: impl Into<TypingData>) {
        let chain = self.driver.action_chain().send_keys(keys.into());
        chain.perform().await.unwrap();
    }

    /// Presses a key while another one is held.
    pub(crate) async fn chord(&self, held: Key, key: char) {
        let chain = self.driver.action_chain().key_down(held.clone()).send_keys(key.to_string());
        chain.key_up(held).perform().await.unwrap();
    }

    /// Errors that the page logged since the last call, policy reports among them.
    pub(crate) async fn errors(&self) -> Vec<String> {
        if !self.is_chromium {
            return Vec::new();
        }
        let entries = self.driver.browser_log().await.unwrap();
        let is_bad = |level: &str| level != "INFO" && level != "DEBUG";
        let entries = entries.into_iter().filter(|entry| is_bad(&entry.level));
        entries.map(|entry| format!("{}: {}", entry.level, entry.message)).collect()
    }

    /// Fails if the page logged an error.
    pub(crate) async fn is_clean(&self, what: &str) {
        assert_eq!(self.errors().await, Vec::<String>::new(), "{what}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser with it on SIGTERM only.
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _reaped = self.process.wait();
    }
}

fn truth(value: &Json) -> bool {
    !matches!(value, Json::Null | Json::Bool(false)) && value != &json!("") && value != &json!(0)
}

/// The client of drivers asks for a provider of TLS, although it speaks plain HTTP.
fn provide_tls() {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}

/// Starts a driver; its port stands behind a text in a line that it prints.
///
/// A driver that picks its port itself ends if another process takes that port first.
fn started(command: &mut Command, before: &str) -> (Child, String) {
    let mut ends = Vec::new();
    while ends.len() < 5 {
        match once_started(command, before) {
            Ok(driver) => return driver,
            Err(text) => ends.push(text),
        }
    }
    panic!("the driver has ended each time: {ends:#?}");
}

fn once_started(command: &mut Command, before: &str) -> Result<(Child, String), String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = log.reopen().unwrap();
    let mut process = command.stdout(output).stderr(Stdio::null()).spawn().unwrap();
    loop {
        let has_ended = process.try_wait().unwrap().is_some();
        let text = fs::read_to_string(log.path()).unwrap();
        let port = text.split_once(before).and_then(|(_, rest)| {
            // The digits are all there when something follows them.
            let (port, _) = rest.split_once(|c: char| !c.is_ascii_digit())?;
            Some(port.to_owned())
        });
        if let Some(port) = port {
            return Ok((process, format!("http://127.0.0.1:{port}")));
        }
        if has_ended {
            return Err(text);
        }
    }
}
