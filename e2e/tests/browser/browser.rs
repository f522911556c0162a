//! A browser behind its driver, and short words for what tests do in it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value as Json, json};
use thirtyfour::{
    By, ChromiumLikeCapabilities as _, DesiredCapabilities, Key, LoggingPrefsLogLevel, TypingData,
    WebDriver,
};

use crate::site::{Site, tools};

/// A condition must hold by then.
const DEADLINE: Duration = Duration::from_secs(30);

/// A size of the page in pixels.
pub(crate) type Size = (u32, u32);
pub(crate) const WIDE: Size = (1280, 900);
pub(crate) const NARROW: Size = (360, 780);

/// A browser with one window.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    process: Child,
    is_chromium: bool,
}

// === impl Browser ===

impl Browser {
    pub(crate) async fn chromium() -> Self {
        provide_tls();
        let (process, url) = started(Command::new("chromedriver").arg("--port=0"), "on port ");
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary("/usr/bin/chromium").unwrap();
        let size = format!("--window-size={},{}", WIDE.0, WIDE.1);
        for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] {
            wanted.add_arg(flag).unwrap();
        }
        wanted.add_arg(&size).unwrap();
        wanted.add_arg("--enable-precise-memory-info").unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let driver = WebDriver::new(&url, wanted).await.unwrap();
        Self { driver, process, is_chromium: true }
    }

    pub(crate) async fn firefox() -> Self {
        provide_tls();
        let program = tools().join("bin/geckodriver");
        assert!(program.exists(), "geckodriver is not built; run `scripts/setup.sh test`");
        let (process, url) = started(Command::new(program).args(["--port", "0"]), "127.0.0.1:");
        let mut wanted = DesiredCapabilities::firefox();
        wanted.set_headless().unwrap();
        wanted.set_firefox_binary("/usr/bin/firefox-esr").unwrap();
        let driver = WebDriver::new(&url, wanted).await.unwrap();
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
        let holds = async {
            loop {
                // A page that is being left has no script.
                let value = self.driver.execute(script, Vec::new()).await;
                if value.is_ok_and(|value| truth(value.json())) {
                    return;
                }
                tokio::task::yield_now().await;
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
        self.until(&format!("return document.querySelector({})", json!(css))).await;
        let element = self.driver.find(By::Css(css)).await.unwrap();
        element.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types into the element that has the focus.
    pub(crate) async fn keys(&self, keys: impl Into<TypingData>) {
        let chain = self.driver.action_chain().send_keys(keys.into());
        chain.perform().await.unwrap();
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
fn started(command: &mut Command, before: &str) -> (Child, String) {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the driver has ended");
        if let Some((_, rest)) = line.split_once(before) {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
            return (process, format!("http://127.0.0.1:{port}"));
        }
    }
}
