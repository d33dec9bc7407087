//! Traces that are longer than memory: what is kept is the different code in them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::alloc::System;
use std::io::{BufReader, Read, Write};

use cap::Cap;
use common::hostile::{MIB, alone};
use covtap::profile::trace::Counting;
use covtap::profile::trace::import::{Format, Imported, Options, import};
use flate2::{Compression, write::GzEncoder};

/// All that this process may have at once.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 32 << 20);

/// Bytes, again and again.
struct Repeated {
    bytes: Vec<u8>,
    at: usize,
    left: usize,
}

impl Repeated {
    fn new(bytes: Vec<u8>, times: usize) -> Self {
        Self { bytes, at: 0, left: times }
    }
}

impl Read for Repeated {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let rest = &self.bytes[self.at..];
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        if self.at == self.bytes.len() {
            self.left -= 1;
            self.at = 0;
        }
        Ok(len)
    }
}

/// A mebibyte of a log, and how often it enters its block.
fn log() -> (Vec<u8>, u64) {
    let translated = "IN: main\n0x00000184:  f04f 5304  mov.w    r3, #0x21000000\n\n";
    let entered =
        "Trace 0: 0x7fade8000100 [00800400/0000000000000184/00000110/ff020200] a_function_with_a_long_name";
    let mut log = translated.to_owned();
    let mut count = 0;
    while log.len() < MIB {
        log.push_str(entered);
        // Symbols of C++ are long.
        log.push_str(&"_of_a_template".repeat(20));
        log.push('\n');
        count += 1;
    }
    (log.into_bytes(), count)
}

fn imported(reader: impl Read) -> Imported {
    let imported = import("a", BufReader::new(reader), None, &Options::default()).unwrap();
    assert!(imported.fault.is_none(), "{:?}", imported.fault);
    imported
}

#[track_caller]
fn assert_counted(imported: &Imported, count: u64) {
    assert_eq!((imported.format, imported.trace.counting), (Format::QemuLog, Counting::Times));
    let runs = imported.trace.space("").unwrap().runs();
    let [run] = runs else { panic!("{runs:?}") };
    assert_eq!((run.start, run.last, run.count), (0x184, 0x187, count));
}

#[test]
fn a_gibibyte_of_log() {
    let _alone = alone();
    let (log, count) = log();
    assert_counted(&imported(Repeated::new(log, 1024)), 1024 * count);
}

#[test]
fn a_log_that_was_packed() {
    let _alone = alone();
    let (log, count) = log();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&log).unwrap();
    assert_counted(&imported(Repeated::new(encoder.finish().unwrap(), 64)), 64 * count);
    let frame = ruzstd::encoding::compress_to_vec(&log[..], ruzstd::encoding::CompressionLevel::Fastest);
    assert_counted(&imported(Repeated::new(frame, 64)), 64 * count);
}

#[test]
fn a_line_without_an_end() {
    let _alone = alone();
    let head = b"0x1000\n".to_vec();
    let endless = Repeated::new(vec![b'0'; MIB], 1024);
    let read =
        import("a", BufReader::new(head.as_slice().chain(endless)), None, &Options::default()).unwrap();
    assert_eq!(read.fault.expect("a fault").to_string(), "import a: as pcs, line 2: it is too long");
}
