//! QEMU's monitor, for a look at the guest from another side.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.line();
        qmp.command("qmp_capabilities", json!({}));
        qmp
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    pub(crate) fn command(&mut self, name: &str, arguments: Value) -> Value {
        let request = json!({ "execute": name, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}").unwrap();
        loop {
            let answer = self.line();
            if let Some(value) = answer.get("return") {
                return value.clone();
            }
            assert!(answer.get("error").is_none(), "{name}: {answer}");
        }
    }

    /// `running`, `paused`, `prelaunch`...
    pub(crate) fn status(&mut self) -> String {
        self.command("query-status", json!({}))["status"].as_str().unwrap().to_owned()
    }

    /// Guest memory as QEMU itself saves it.
    pub(crate) fn memory(&mut self, addr: u64, len: usize, dir: &Path) -> Vec<u8> {
        let file = dir.join("pmemsave.bin");
        self.command("pmemsave", json!({ "val": addr, "size": len, "filename": file }));
        std::fs::read(file).unwrap()
    }
}
