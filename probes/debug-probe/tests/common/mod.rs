//! A memory whose words tell their places, read through a link.

use covtap_debug_probe::DebugProbe;
use covtap_link::{LinkError, ReadMemory, TargetAddr};

pub(crate) const NUM_WORDS: u32 = 8192;

/// A word that tells its place, and is neither 0 nor another's.
pub(crate) fn word(index: u32) -> u32 {
    index.wrapping_mul(0x9e37_79b1) | 1
}

pub(crate) fn bytes() -> Vec<u8> {
    (0..NUM_WORDS).flat_map(|index| word(index).to_le_bytes()).collect()
}

pub(crate) fn read_at(
    link: &mut DebugProbe,
    base: u32,
    offset: u32,
    len: usize,
) -> Result<Vec<u8>, LinkError> {
    let mut buf = vec![0; len];
    link.read(TargetAddr::new(u64::from(base + offset)), &mut buf)?;
    Ok(buf)
}

/// What many reads came to while something goes wrong.
#[derive(Default, Debug)]
pub(crate) struct Turns {
    pub(crate) given: u32,
    pub(crate) refused: u32,
    pub(crate) not_begun: u32,
}

impl Turns {
    /// Reads so often, and makes sure that what is given is true. What is lost is mended and opened again, and what is not every
    /// now and then.
    pub(crate) fn take(
        num: u32,
        max_len: usize,
        base: u32,
        open: impl Fn() -> Result<DebugProbe, LinkError>,
        mend: impl Fn(),
    ) -> Self {
        let (all, mut turns, mut link) = (bytes(), Self::default(), None);
        for turn in 0..num {
            let offset = turn.wrapping_mul(2_654_435_761) % (NUM_WORDS * 4 - 512);
            let len = 1 + (turn as usize * 7) % max_len;
            let kept = link.take().filter(|_| turn % 64 != 0);
            let Ok(mut opened) = kept.map_or_else(&open, Ok) else {
                mend();
                turns.not_begun += 1;
                continue;
            };
            match read_at(&mut opened, base, offset, len) {
                Ok(got) => {
                    let start = offset as usize;
                    assert_eq!(
                        Some(got.as_slice()),
                        all.get(start..start + len),
                        "turn {turn}: {len} bytes at {offset}"
                    );
                    turns.given += 1;
                    link = Some(opened);
                }
                Err(error) if error.is_fatal() => {
                    turns.refused += 1;
                    drop(opened);
                    mend();
                }
                Err(_) => {
                    turns.refused += 1;
                    link = Some(opened);
                }
            }
        }
        turns
    }
}
