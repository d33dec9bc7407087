//! Chromium, over its DevTools protocol on a pipe of this process's making: no port, and it ends with its handle.
//!
//! ```text
//! descriptor 3  requests to the browser    each a JSON object and a byte of 0
//! descriptor 4  answers and events
//! ```

use std::io::{BufRead, BufReader, PipeWriter, Write, pipe};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use covtap_testbed::tool;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a browser has not answered by then it never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    requests: PipeWriter,
    answers: Receiver<Value>,
    events: Vec<Value>,
    session: Option<String>,
    last_id: u64,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (browser_reads, requests) = pipe().unwrap();
        let (replies, browser_writes) = pipe().unwrap();
        let mut command = Command::new(tool("chromium").unwrap());
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .fd_mappings(vec![
                FdMapping { parent_fd: browser_reads.into(), child_fd: 3 },
                FdMapping { parent_fd: browser_writes.into(), child_fd: 4 },
            ])
            .unwrap();
        let child = command.spawn().unwrap();
        // The ends that are the browser's go with the command.
        drop(command);
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(replies).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            requests,
            answers,
            events: Vec::new(),
            session: None,
            last_id: 0,
            _profile: profile,
        };
        browser.open_page();
        browser
    }

    fn open_page(&mut self) {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attached =
            self.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// Sends a request and waits for its answer; events that come before it are kept.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let mut request = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&request).unwrap();
        bytes.push(0);
        self.requests.write_all(&bytes).unwrap();
        loop {
            let message = self.receive();
            if message["id"] == json!(self.last_id) {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn receive(&mut self) -> Value {
        self.answers.recv_timeout(PATIENCE).expect("the browser is there and answers")
    }

    /// Goes to a file and waits until it is loaded.
    pub(crate) fn open(&mut self, path: &Path, rest: &str) {
        let url = format!("file://{}{rest}", path.display());
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        let answer = self.call("Page.navigate", &json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.wait_for_load();
    }

    /// Waits until a page that something led to is loaded.
    pub(crate) fn wait_for_load(&mut self) {
        let is_load = |event: &Value| event["method"] == "Page.loadEventFired";
        loop {
            if let Some(at) = self.events.iter().position(is_load) {
                self.events.remove(at);
                return;
            }
            let message = self.receive();
            self.events.push(message);
        }
    }

    /// The value of an expression of the page's.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Presses a key and lets it go.
    pub(crate) fn press(&mut self, key: &str) {
        // What the browser itself does with a key goes by its code.
        let (text, code) = if key == "Escape" { ("", 27) } else { (key, 0) };
        let down = json!({"type": "keyDown", "key": key, "text": text, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", &up);
    }

    /// Types into what has the focus.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Asserts that no page so far reported a fault or asked for anything but files of the site.
    pub(crate) fn assert_quiet(&mut self, site: &Path) {
        // What comes before this answer has come.
        self.eval("1");
        let of =
            |method: &str| self.events.iter().filter(|event| event["method"] == method).collect::<Vec<_>>();
        for method in ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"] {
            assert_eq!(of(method), Vec::<&Value>::new());
        }
        let urls: Vec<&str> = of("Network.requestWillBeSent")
            .iter()
            .map(|event| event["params"]["request"]["url"].as_str().unwrap())
            .collect();
        let site = format!("file://{}/", site.display());
        assert!(!urls.is_empty() && urls.iter().all(|url| url.starts_with(&site)), "{urls:?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let request = json!({"id": self.last_id + 1, "method": "Browser.close"}).to_string() + "\0";
        let is_asked = self.requests.write_all(request.as_bytes()).is_ok();
        // It closes the pipe when it ends; then nobody writes into its profile any more.
        while is_asked && self.answers.recv_timeout(PATIENCE).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
