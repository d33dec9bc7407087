//! A target that is a guest in QEMU: memory by the qtest socket, the processor by the monitor.
//!
//! The qtest socket answers `read ADDRESS LENGTH` with the bytes of the moment, while the guest runs. QEMU has it beside
//! its translator when it is started with
//! `-accel tcg -chardev socket,id=qt,path=S,server=on,wait=off -qtest chardev:qt -qtest-log none`.
//!
//! ```text
//! > read 0x20000000 0x4
//! < OK 0x01020304
//! ```
//!
//! What always holds:
//! - memory is read without stopping the guest;
//! - addresses outside of the ranges that were named are bus faults, since qtest reads them as 0;
//! - an answer that is not of the length that was asked for is an error.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use covtap_testbed::Monitor;
use serde_json::json;

use crate::target::{HartRegister, MemoryRange, Target, TargetError};

/// A QEMU that does not answer within this time is broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest line that is read. Accesses are of four bytes.
const LINE_LIMIT: u64 = 4096;

/// A guest in QEMU.
#[derive(Debug)]
pub struct Qemu {
    qtest: Qtest,
    monitor: Monitor,
    memory: Vec<MemoryRange>,
}

impl Qemu {
    /// Connects to a guest by its two sockets. Only `memory` is there to be read.
    ///
    /// # Errors
    ///
    /// Nobody listens, or it is not QEMU.
    pub fn connect(qtest: &Path, qmp: &Path, memory: Vec<MemoryRange>) -> Result<Self, TargetError> {
        // The monitor answers when all of QEMU's sockets are there.
        let monitor = Monitor::connect(qmp).map_err(TargetError::Monitor)?;
        Ok(Self { qtest: Qtest::connect(qtest)?, monitor, memory })
    }

    fn check(&self, address: u32, len_bytes: usize) -> Result<(), TargetError> {
        if self.memory.iter().any(|range| range.contains(address, len_bytes)) {
            return Ok(());
        }
        Err(TargetError::Unmapped { address, len_bytes })
    }

    /// How many resets the monitor has told of.
    fn resets_told(&self) -> usize {
        self.monitor.events().iter().filter(|event| *event == "RESET").count()
    }

    /// The value that `info registers` shows after a name.
    fn register(&mut self, name: &str) -> Result<u32, TargetError> {
        let text = self.monitor.human("info registers").map_err(TargetError::Monitor)?;
        register(&text, name)
            .ok_or_else(|| TargetError::Answer { asked: format!("info registers: {name}"), answer: text })
    }

    fn command(&mut self, command: &str) -> Result<(), TargetError> {
        self.monitor.execute(command, &json!({})).map(drop).map_err(TargetError::Monitor)
    }
}

impl Target for Qemu {
    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), TargetError> {
        self.check(address, bytes.len())?;
        let asked = format!("read {address:#x} {:#x}", bytes.len());
        let answer = self.qtest.ask(&asked)?;
        match unhex(&answer, bytes) {
            Some(()) => Ok(()),
            None => Err(TargetError::Answer { asked, answer }),
        }
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), TargetError> {
        self.check(address, bytes.len())?;
        let mut command = format!("write {address:#x} {:#x} 0x", bytes.len());
        for byte in bytes {
            // A string takes whatever is written to it.
            let _ = write!(command, "{byte:02x}");
        }
        self.qtest.ask(&command).map(drop)
    }

    fn pc(&mut self) -> Result<u32, TargetError> {
        self.read_register(15)
    }

    fn halt(&mut self) -> Result<(), TargetError> {
        self.command("stop")
    }

    fn resume(&mut self) -> Result<(), TargetError> {
        self.command("cont")
    }

    /// The monitor cannot step. The guest stays where it is, and a debugger is told nothing, as on silicon.
    fn step(&mut self) -> Result<(), TargetError> {
        Err(TargetError::Unsupported("step a guest by QEMU's monitor"))
    }

    /// QEMU answers before it has done it, and tells of it when it has.
    fn reset(&mut self) -> Result<(), TargetError> {
        let before = self.resets_told();
        self.command("system_reset")?;
        let started = Instant::now();
        while self.resets_told() == before {
            let status = self.monitor.status().map_err(TargetError::Monitor)?;
            if started.elapsed() > PATIENCE {
                return Err(TargetError::Answer { asked: "system_reset".to_owned(), answer: status });
            }
        }
        Ok(())
    }

    /// Registers that `info registers` does not show read as 0.
    fn read_register(&mut self, number: u8) -> Result<u32, TargetError> {
        let name = match number {
            0..=15 => format!("R{number:02}="),
            16 => "XPSR=".to_owned(),
            _ => return Ok(0),
        };
        self.register(&name)
    }

    fn write_register(&mut self, _number: u8, _value: u32) -> Result<(), TargetError> {
        Err(TargetError::Unsupported("write a register by QEMU's monitor"))
    }

    fn read_hart_register(&mut self, register: HartRegister) -> Result<u32, TargetError> {
        let name = match register {
            HartRegister::X(number) => format!(" x{number}/"),
            HartRegister::Pc => " pc ".to_owned(),
            HartRegister::Csr(number) => {
                let name =
                    csr_name(number).ok_or(TargetError::Unsupported("read that CSR by the monitor"))?;
                format!(" {name} ")
            }
        };
        self.register(&name)
    }
}

/// What `info registers` calls a control and status register.
fn csr_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x180 => "satp",
        0x300 => "mstatus",
        0x304 => "mie",
        0x305 => "mtvec",
        0x340 => "mscratch",
        0x341 => "mepc",
        0x342 => "mcause",
        0x343 => "mtval",
        0x344 => "mip",
        0xF14 => "mhartid",
        _ => return None,
    })
}

/// The value after a name. A RISC-V register has a second name, and spaces before its value.
fn register(text: &str, name: &str) -> Option<u32> {
    let (_, after) = text.split_once(name)?;
    let after = if name.ends_with('/') { after.split_once(' ')?.1 } else { after };
    u32::from_str_radix(after.trim_start_matches(' ').get(..8)?, 16).ok()
}

/// Fills `bytes` from `0x0102..`, which has to have as many.
fn unhex(text: &str, bytes: &mut [u8]) -> Option<()> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if digits.len() != bytes.len().checked_mul(2)? {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(())
}

/// A connection to QEMU's qtest socket.
#[derive(Debug)]
struct Qtest {
    stream: BufReader<UnixStream>,
}

impl Qtest {
    fn connect(socket: &Path) -> Result<Self, TargetError> {
        let io = |source| TargetError::Io { asked: format!("connect to {}", socket.display()), source };
        let stream = UnixStream::connect(socket).map_err(io)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a command and gives what stands after `OK`.
    fn ask(&mut self, command: &str) -> Result<String, TargetError> {
        let io = |source| TargetError::Io { asked: command.to_owned(), source };
        self.stream.get_mut().write_all(format!("{command}\n").as_bytes()).map_err(io)?;
        loop {
            let line = self.line().map_err(io)?;
            // Interrupts are told between answers where somebody has asked for them.
            if line.starts_with("IRQ ") {
                continue;
            }
            let answer = line.strip_prefix("OK").filter(|after| after.is_empty() || after.starts_with(' '));
            return match answer {
                Some(answer) => Ok(answer.trim().to_owned()),
                None => Err(TargetError::Answer { asked: command.to_owned(), answer: line }),
            };
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.by_ref().take(LINE_LIMIT).read_line(&mut line)?;
        match line.strip_suffix('\n') {
            Some(whole) => Ok(whole.to_owned()),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a line without an end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::thread::{self, JoinHandle};

    use super::*;

    const REGISTERS: &str = "R00=00000001 R01=00000002\r\nR15=000010f4 XPSR=41000000\r\n";

    /// Sockets that give the same answer to each line: the first line alone is a greeting.
    struct Fake {
        dir: tempfile::TempDir,
        threads: Vec<JoinHandle<()>>,
    }

    impl Fake {
        fn start(qtest: &'static str, registers: &str) -> Self {
            let mut fake = Self { dir: tempfile::tempdir().expect("a folder"), threads: Vec::new() };
            let monitor = json!({ "return": registers }).to_string() + "\n";
            fake.serve("qtest", None, qtest.to_owned());
            fake.serve("qmp", Some("{\"QMP\":{}}\n"), monitor);
            fake
        }

        fn serve(&mut self, name: &str, greeting: Option<&'static str>, answer: String) {
            let listener = UnixListener::bind(self.path(name)).expect("a socket");
            self.threads.push(thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a client");
                stream.write_all(greeting.unwrap_or_default().as_bytes()).expect("greet");
                let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                for _ in lines.map_while(Result::ok) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            }));
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn connect(&self) -> Qemu {
            let memory = vec![MemoryRange { base: 0x2000_0000, len_bytes: 0x1000 }];
            Qemu::connect(&self.path("qtest"), &self.path("qmp"), memory).expect("both sockets")
        }

        fn end(self, qemu: Qemu) {
            drop(qemu);
            for thread in self.threads {
                thread.join().expect("the server's end");
            }
        }
    }

    #[test]
    fn answers_become_bytes_and_registers() {
        let fake = Fake::start("IRQ raise 3\nOK 0x01020304\n", REGISTERS);
        let mut qemu = fake.connect();
        let mut word = [0; 4];
        qemu.read(0x2000_0000, &mut word).expect("a word");
        assert_eq!((word, qemu.pc().expect("a pc")), ([1, 2, 3, 4], 0x10f4));
        assert_eq!(qemu.read_register(16).expect("xPSR"), 0x4100_0000);
        qemu.write(0x2000_0000, &word).expect("written");
        assert!(matches!(qemu.read(0x1000, &mut word), Err(TargetError::Unmapped { .. })));
        assert!(matches!(qemu.read(0x2000_0ffe, &mut word), Err(TargetError::Unmapped { .. })));
        assert!(matches!(qemu.step(), Err(TargetError::Unsupported(_))));
        fake.end(qemu);
    }

    #[test]
    fn a_hart_has_registers_of_two_names() {
        let shown = " pc       80000004\r\n mtvec    00000010\r\n x0/zero  00000000 x1/ra    00000001\r\n \
                     x8/s0    00000008 x10/a0   0000000a\r\n";
        let fake = Fake::start("OK\n", shown);
        let mut qemu = fake.connect();
        let mut read = |register| qemu.read_hart_register(register).ok();
        assert_eq!([1, 8, 10, 11].map(HartRegister::X).map(&mut read), [Some(1), Some(8), Some(10), None]);
        assert_eq!(read(HartRegister::Pc), Some(0x8000_0004));
        assert_eq!([0x305, 0x300, 0x7A0].map(HartRegister::Csr).map(read), [Some(16), None, None]);
        fake.end(qemu);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let wrong = [
            "OK 0x0102\n",
            "OK 0x010203zz\n",
            "OK\n",
            "OKAY 0x01020304\n",
            "FAIL x\n",
            "\n",
            "OK 0x01é234\n",
        ];
        for answer in wrong {
            let fake = Fake::start(answer, "R15=12");
            let mut qemu = fake.connect();
            let error = qemu.read(0x2000_0000, &mut [0; 4]).expect_err(answer);
            assert!(matches!(error, TargetError::Answer { .. }), "{answer:?}: {error}");
            assert!(matches!(qemu.pc(), Err(TargetError::Answer { .. })));
            fake.end(qemu);
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_not_waited_for() {
        let endless: &'static str = Box::leak("O".repeat(8192).into_boxed_str());
        let fake = Fake::start(endless, REGISTERS);
        let mut qemu = fake.connect();
        assert!(matches!(qemu.read(0x2000_0000, &mut [0; 4]), Err(TargetError::Io { .. })));
        fake.end(qemu);
    }
}
