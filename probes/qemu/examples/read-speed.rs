//! Measures how fast a guest's memory is read, by every method, beside a plain copy of as many bytes.
//!
//! ```text
//! cargo run --release -p covtap-qemu --example read-speed -- QMP ADDRESS [LENGTH]
//! ```
//!
//! ADDRESS is hexadecimal, LENGTH (16 MiB unless told) decimal. Where the word at ADDRESS is a counter that the
//! guest increments without end, the last column tells how fast it counted meanwhile, relative to an idle link.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use covtap_link::{Link, ReadMemory, TargetAddr};
use covtap_qemu::{AddressSpace, MethodChoice, Options, QemuLink, QmpEndpoint};

const METHODS: [MethodChoice; 3] = [MethodChoice::Process, MethodChoice::SharedFile, MethodChoice::Monitor];
const PER_MEASUREMENT: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let endpoint: QmpEndpoint = words.next().context("which monitor?")?.parse()?;
    let addr = words.next().context("which address?")?;
    let addr = TargetAddr::new(u64::from_str_radix(addr.trim_start_matches("0x"), 16)?);
    let largest = words.next().map_or(Ok(16 << 20), |word| word.parse())?;
    println!(
        "{:<30} {:>9} {:>12} {:>10} {:>10} {:>8}",
        "method", "bytes", "reads/s", "GB/s", "of memcpy", "guest"
    );
    for method in METHODS {
        let mut options = Options::default();
        options.method = method;
        options.address_space = AddressSpace::Physical;
        let started = Instant::now();
        let mut link = match QemuLink::connect(&endpoint, &options) {
            Ok(link) => link,
            Err(error) => {
                println!("{method}: {error}");
                continue;
            }
        };
        link.read(addr, &mut [0; 4096])?;
        let first = started.elapsed();
        for len in [4096, 65536, 1 << 20, largest] {
            measure(&mut link, addr, len)?;
        }
        println!("{method}: connect and first read in {first:?}");
        link.detach()?;
    }
    Ok(())
}

fn measure(link: &mut QemuLink, addr: TargetAddr, len: usize) -> Result<()> {
    let mut buf = vec![1; len];
    let idle = counting(link, addr, |_| {
        std::thread::sleep(PER_MEASUREMENT / 4);
        Ok(())
    })?;
    link.read(addr, &mut buf)?;
    let (source, mut target) = (vec![1u8; len], vec![2u8; len]);
    let (mut reads, mut copies) = (Vec::new(), Vec::new());
    let started = Instant::now();
    let busy = counting(link, addr, |link| {
        // Alternately, so that whatever else the host does slows both.
        while started.elapsed() < PER_MEASUREMENT {
            let begun = Instant::now();
            link.read(addr, &mut buf)?;
            reads.push(begun.elapsed());
            let begun = Instant::now();
            target.copy_from_slice(std::hint::black_box(&source));
            std::hint::black_box(&mut target);
            copies.push(begun.elapsed());
        }
        Ok(())
    })?;
    let (read, plain) = (median(&mut reads), median(&mut copies));
    println!(
        "{:<30} {len:>9} {:>12.0} {:>10.2} {:>10.2} {:>8}",
        link.info().server,
        1.0 / read,
        len as f64 / read / 1e9,
        plain / read,
        if idle > 0.0 { format!("{:.2}", busy / idle) } else { "-".to_owned() }
    );
    Ok(())
}

/// How many times a second the word at `addr` grew while `work` was done.
fn counting(
    link: &mut QemuLink,
    addr: TargetAddr,
    work: impl FnOnce(&mut QemuLink) -> Result<()>,
) -> Result<f64> {
    let mut word = [0; 4];
    let started = Instant::now();
    link.read(addr, &mut word)?;
    let before = u32::from_le_bytes(word);
    work(link)?;
    link.read(addr, &mut word)?;
    Ok(f64::from(u32::from_le_bytes(word).wrapping_sub(before)) / started.elapsed().as_secs_f64())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}
