//! How fast memory is read through a GDB server, and for how long the target is stopped for it.
//!
//! ```text
//! cargo run --release -p covtap-gdb-remote --example throughput -- localhost:1234 0x20000000
//! ```
//!
//! One mebibyte from the address on has to be readable.

use std::time::{Duration, Instant};

use covtap_gdb_remote::{Endpoint, GdbRemote, Options};
use covtap_link::{Link, LinkError, ReadMemory, RunControl, TargetAddr};

const BLOCK: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: throughput ENDPOINT ADDRESS";
    let endpoint: Endpoint = args.next().ok_or(usage)?.parse()?;
    let addr = args.next().ok_or(usage)?;
    let addr = TargetAddr::new(u64::from_str_radix(addr.trim_start_matches("0x"), 16)?);

    for window in [1, 4, 16, 64] {
        let mut options = Options::default();
        options.window = Some(window);
        let mut link = GdbRemote::connect(&endpoint, &options)?;
        if window == 1 {
            println!(
                "{}, {}, connected in {:?}",
                link.info().server,
                link.info().effect,
                link.info().attach_pause
            );
        }
        link.stop()?;
        let rate = rate(&mut link, addr)?;
        println!("stopped, at most {window:2} requests on their way: {rate:6.1} MB/s");
        link.detach()?;
    }
    let mut link = GdbRemote::connect(&endpoint, &Options::default())?;
    for len in [4, 4 << 10, 64 << 10, 512 << 10] {
        let (elapsed, pause) = median_read(&mut link, addr, len)?;
        println!("running, {len:7} bytes: {elapsed:9.1?} each, of which the target is stopped {pause:9.1?}");
    }
    link.detach()?;
    Ok(())
}

/// Megabytes a second, over half a second.
fn rate(link: &mut GdbRemote, addr: TargetAddr) -> Result<f64, LinkError> {
    let mut block = vec![0; BLOCK];
    let (since, mut blocks) = (Instant::now(), 0u32);
    while since.elapsed() < Duration::from_millis(500) {
        link.read(addr, &mut block)?;
        blocks += 1;
    }
    Ok(f64::from(blocks) * 1.048_576 / since.elapsed().as_secs_f64())
}

/// The median of many reads.
fn median_read(
    link: &mut GdbRemote,
    addr: TargetAddr,
    len: usize,
) -> Result<(Duration, Duration), LinkError> {
    let mut buf = vec![0; len];
    let mut reports = Vec::new();
    for _ in 0..101 {
        let report = link.read(addr, &mut buf)?;
        reports.push((report.elapsed, report.pause));
    }
    reports.sort_unstable();
    Ok(reports.get(reports.len() / 2).copied().unwrap_or_default())
}
