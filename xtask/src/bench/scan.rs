//! `cargo xtask bench scan`: the time to find gcov's structures in memory that was read already, 256 MiB of it.
//!
//! | memory | what is in it |
//! |---|---|
//! | zero | the structures, and nothing else |
//! | noise | the structures at its end, and bytes without a pattern before |
//! | text | the structures at its end, and before them digits and letters, which words of versions are made of |
//!
//! What always holds: every search has found the structures.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use covtap::locate::gcov::{self, Piece};
use covtap_link::{Endianness, PointerWidth, TargetAddr};

use crate::Outcome;
use crate::figures::{median_time, rate, time};

/// Arguments of `cargo xtask bench scan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is searched
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

const MEMORY_BYTES: usize = 256 << 20;

/// Where the memory is.
const START: u32 = 0x2000_0000;

/// Measures and prints the figures.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut fill = |name: &str, memory: &mut [u8]| match name {
        "noise" => random.fill(memory),
        "text" => memory.fill_with(|| random.alphanumeric() as u8),
        _ => memory.fill(0),
    };
    for name in ["zero", "noise", "text"] {
        let mut memory = vec![0; MEMORY_BYTES];
        fill(name, &mut memory);
        put_structures(&mut memory)?;
        let times = (0..args.rounds).map(|_| search(&memory)).collect::<Result<Vec<_>>>()?;
        let median = median_time(&times).context("a search")?;
        println!("{name}: {} ({})", time(median), rate(MEMORY_BYTES, median));
    }
    println!("medians of {} searches", args.rounds);
    Ok(Outcome::Passed)
}

/// One object of GCC 12.2 with one function and one counter, at the end.
fn put_structures(memory: &mut [u8]) -> Result<()> {
    const WORDS: usize = 27;
    let offset = MEMORY_BYTES.checked_sub(4 * WORDS).context("room")?;
    let base = START.checked_add(u32::try_from(offset)?).context("an address")?;
    let at = |word: u32| base.saturating_add(4 * word);
    let head = [u32::from_be_bytes(*b"B22*"), 0, 1, 2, at(23)];
    let merge = [1, 0, 0, 0, 0, 0, 0, 0];
    let functions = [1, at(15), at(16)];
    let function = [at(0), 7, 8, 9, 1, at(25), 0];
    let name = [*b"a.gc", *b"da\0\0"].map(u32::from_le_bytes);
    let counter = [0, 0];
    let words = [&head[..], &merge, &functions, &function, &name, &counter].concat();
    let bytes = words.into_iter().flat_map(u32::to_le_bytes);
    memory.iter_mut().skip(offset).zip(bytes).for_each(|(to, byte)| *to = byte);
    Ok(())
}

fn search(memory: &[u8]) -> Result<std::time::Duration> {
    let piece = Piece { start: TargetAddr::new(START.into()), bytes: memory, is_writable: true };
    let started = Instant::now();
    let found = gcov::locate_in_memory("memory", &[piece], Endianness::Little, PointerWidth::Bits32)?;
    let elapsed = started.elapsed();
    ensure!(found.image.objects.len() == 1, "found {} objects", found.image.objects.len());
    Ok(elapsed)
}
