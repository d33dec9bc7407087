//! Against servers made with the `gdbstub` crate: over a socket, and over a serial line's pseudo-terminal.
//!
//! The memory behind them is words that another thread keeps changing, each written whole, so that a word
//! whose parts disagree was torn by the link.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    reason = "a helper of a test fails as the test does"
)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use covtap_gdb_remote::{Endpoint, GdbRemote, Options};
use covtap_link::{
    Effect, Endianness, Link, LinkError, ReadMemory, ReadRequest, RunControl, RunState, TargetAddr,
};
use gdbstub::common::Signal;
use gdbstub::conn::{Connection, ConnectionExt};
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{DisconnectReason, GdbStub, SingleThreadStopReason};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::singlethread::{SingleThreadBase, SingleThreadResume, SingleThreadResumeOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use gdbstub_arch::riscv::Riscv64;
use gdbstub_arch::riscv::reg::RiscvCoreRegs;

const BASE: u64 = 0x8000_0000;
const WORDS: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);

/// A word that shows when its parts are not of one age.
fn word(count: u64) -> u64 {
    (count & 0xffff) * 0x0001_0001_0001_0001
}

/// Words that change all the time.
struct Memory {
    words: Vec<AtomicU64>,
    is_over: AtomicBool,
}

impl Memory {
    fn new() -> Arc<Self> {
        let words = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { words, is_over: AtomicBool::new(false) })
    }

    /// Counts every word up, over and over.
    fn keep_changing(self: &Arc<Self>) -> Changes {
        let memory = Arc::clone(self);
        let thread = std::thread::spawn(move || {
            for count in 0u64.. {
                for place in &memory.words {
                    place.store(word(count), Ordering::Relaxed);
                }
                if memory.is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        Changes { memory: Arc::clone(self), thread: Some(thread) }
    }

    /// Copies memory a whole word at a time; `None` outside of it.
    fn copy(&self, addr: u64, out: &mut [u8]) -> Option<()> {
        let mut at = usize::try_from(addr.checked_sub(BASE)?).ok()?;
        let mut out = out;
        while !out.is_empty() {
            let bytes = self.words.get(at / 8)?.load(Ordering::Relaxed).to_le_bytes();
            let len = out.len().min(8 - at % 8);
            let (now, later) = out.split_at_mut(len);
            now.copy_from_slice(&bytes[at % 8..][..len]);
            (out, at) = (later, at + len);
        }
        Some(())
    }
}

struct Changes {
    memory: Arc<Memory>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.memory.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Cpu(Arc<Memory>);

impl Target for Cpu {
    type Arch = Riscv64;
    type Error = &'static str;

    fn base_ops(&mut self) -> BaseOps<'_, Riscv64, &'static str> {
        BaseOps::SingleThread(self)
    }

    fn guard_rail_implicit_sw_breakpoints(&self) -> bool {
        true
    }
}

impl SingleThreadBase for Cpu {
    fn read_registers(&mut self, regs: &mut RiscvCoreRegs<u64>) -> TargetResult<(), Self> {
        regs.pc = BASE + 0x10;
        Ok(())
    }

    fn write_registers(&mut self, _: &RiscvCoreRegs<u64>) -> TargetResult<(), Self> {
        Ok(())
    }

    fn read_addrs(&mut self, addr: u64, data: &mut [u8]) -> TargetResult<usize, Self> {
        self.0.copy(addr, data).map(|()| data.len()).ok_or(TargetError::NonFatal)
    }

    fn write_addrs(&mut self, _: u64, _: &[u8]) -> TargetResult<(), Self> {
        Err(TargetError::NonFatal)
    }

    fn support_resume(&mut self) -> Option<SingleThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadResume for Cpu {
    fn resume(&mut self, _: Option<Signal>) -> Result<(), &'static str> {
        Ok(())
    }
}

/// The crate's own loop, for a target that never stops by itself: while it runs, all there is are packets.
struct Loop<C>(std::marker::PhantomData<C>);

impl<C: ConnectionExt<Error = io::Error>> BlockingEventLoop for Loop<C> {
    type Target = Cpu;
    type Connection = C;
    type StopReason = SingleThreadStopReason<u64>;

    fn wait_for_stop_reason(
        _: &mut Cpu,
        conn: &mut C,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<&'static str, io::Error>> {
        conn.read().map(Event::IncomingData).map_err(WaitForStopReasonError::Connection)
    }

    fn on_interrupt(_: &mut Cpu) -> Result<Option<Self::StopReason>, &'static str> {
        Ok(Some(SingleThreadStopReason::Signal(Signal::SIGINT)))
    }
}

fn serve<C: ConnectionExt<Error = io::Error>>(conn: C, memory: Arc<Memory>) -> DisconnectReason {
    GdbStub::new(conn).run_blocking::<Loop<C>>(&mut Cpu(memory)).unwrap()
}

fn options() -> Options {
    let mut options = Options::default();
    options.reply_timeout = PATIENCE;
    options
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Reads the memory again and again until all of its ends were seen to move, and no word was torn.
fn reads_words_that_change(link: &mut GdbRemote) {
    let mut last = [0u64; 2];
    let mut moves = [0; 2];
    let until = Instant::now() + PATIENCE;
    while moves.iter().any(|moves| *moves < 3) {
        assert!(Instant::now() < until, "the words stand still: {moves:?}");
        let (mut all, mut odd) = (vec![0; WORDS * 8], [0; 13]);
        let report = link
            .read_many(&mut [
                ReadRequest { addr: TargetAddr::new(BASE), buf: &mut all },
                ReadRequest { addr: TargetAddr::new(BASE + 5), buf: &mut odd },
            ])
            .unwrap();
        assert_eq!(report.pause, Duration::ZERO);
        let words = words(&all);
        for (i, found) in words.iter().enumerate() {
            assert_eq!(*found, word(*found), "word {i} was torn");
        }
        for (i, end) in [words[0], words[WORDS - 1]].into_iter().enumerate() {
            moves[i] += i32::from(end != last[i]);
            last[i] = end;
        }
    }
}

#[test]
fn a_running_target_is_read_over_tcp_without_a_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let memory = Memory::new();
    let server = std::thread::spawn({
        let memory = Arc::clone(&memory);
        move || {
            let stream: TcpStream = listener.accept().unwrap().0;
            stream.set_nodelay(true).unwrap();
            serve(stream, memory)
        }
    });
    let _changes = memory.keep_changing();
    let endpoint: Endpoint = format!("127.0.0.1:{port}").parse().unwrap();
    let mut options = options();
    options.endianness = Some(Endianness::Little);
    let mut link = GdbRemote::connect(&endpoint, &options).unwrap();
    let info = link.info();
    // The crate's description of this architecture has registers, but no name: nothing is made up.
    assert_eq!((info.effect, info.architecture), (Effect::Free, None));
    assert_eq!((info.endianness, info.pointer_width), (None, None));
    reads_words_that_change(&mut link);

    let error = link.read(TargetAddr::new(BASE + 8 * WORDS as u64), &mut [0; 8]).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");
    reads_words_that_change(&mut link);

    link.stop().unwrap();
    assert_eq!(link.state(), RunState::Stopped);
    assert_eq!(link.read_register("pc").unwrap(), BASE + 0x10);
    link.resume().unwrap();
    reads_words_that_change(&mut link);
    link.detach().unwrap();
    assert_eq!(server.join().unwrap(), DisconnectReason::Disconnect);
}

/// The far end of a serial line.
struct FarEnd {
    file: File,
    peeked: Option<u8>,
}

impl Connection for FarEnd {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.file.write_all(&[byte])
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl ConnectionExt for FarEnd {
    fn read(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        match self.peeked.take() {
            Some(byte) => Ok(byte),
            None => self.file.read_exact(&mut byte).map(|()| byte[0]),
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        self.peeked = Some(self.read()?);
        Ok(self.peeked)
    }
}

#[test]
fn a_running_target_is_read_over_a_serial_line() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let path = nix::unistd::ttyname(&pty.slave).unwrap();
    let memory = Memory::new();
    let server = std::thread::spawn({
        let (memory, file) = (Arc::clone(&memory), File::from(pty.master));
        move || serve(FarEnd { file, peeked: None }, memory)
    });
    let _changes = memory.keep_changing();
    let mut link = GdbRemote::connect(&Endpoint::Serial { path, baud: 115_200 }, &options()).unwrap();
    assert_eq!(link.info().effect, Effect::Free);
    reads_words_that_change(&mut link);
    link.detach().unwrap();
    assert_eq!(server.join().unwrap(), DisconnectReason::Disconnect);
}
