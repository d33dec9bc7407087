//! How often a chip sends where it is, so that one wire carries it.
//!
//! What enters is the clock of the trace and what the wire is to carry; what leaves is what dividers are set to. What always
//! holds: samples take four fifths of the wire's time at most, so that other packets have theirs.

/// Start bit, eight of data and stop bit, for each of a sample's five bytes (DDI 0403, C1.10 and D4.3.3).
const BITS_PER_SAMPLE: u64 = 50;
/// DWT's counter of cycles is tapped at its bit 6 or 10, and each so many-th time is a sample (DDI 0403, C1.8).
const TAPS_CYCLES: [u64; 2] = [64, 1024];
const POSTPRESETS: u64 = 16;
/// The slowest that receivers have.
const MIN_BAUD: u32 = 1200;

/// How a chip is to send where it is, by one wire (SWO).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Swo {
    pub(crate) clock_hz: u32,
    /// By what the clock is divided for a bit.
    pub(crate) divider: u32,
    /// Which tap of the counter: 0 or 1.
    pub(crate) tap: u32,
    /// How often it is reached for a sample, less one.
    pub(crate) postpreset: u32,
}

impl Swo {
    /// `clock_hz` is that of the trace (`TRACECLKIN`), by which the processor's cycles are reckoned too; `baud` is what the
    /// wire is to carry in a second.
    ///
    /// # Errors
    ///
    /// The chip cannot send so; why, in one line.
    pub fn new(clock_hz: u32, baud: u32) -> Result<Self, String> {
        if baud < MIN_BAUD {
            return Err(format!("{baud} baud: at least {MIN_BAUD} have to be"));
        }
        let divider = clock_hz.saturating_add(baud / 2) / baud;
        if clock_hz < baud {
            return Err(format!("a clock of {clock_hz} Hz does not send {baud} baud"));
        }
        // Bits are samples' for four fifths.
        let least = u64::from(divider) * BITS_PER_SAMPLE * 5 / 4;
        let rates = (0..).zip(TAPS_CYCLES).flat_map(|(tap, cycles)| {
            (0..).zip(1..=POSTPRESETS).map(move |(postpreset, times)| (tap, postpreset, cycles * times))
        });
        let mut fitting = rates.filter(|(.., cycles)| *cycles >= least);
        let Some((tap, postpreset, _)) = fitting.next() else {
            let most = POSTPRESETS * TAPS_CYCLES[1] * 4 / (BITS_PER_SAMPLE * 5);
            let needed = u64::from(clock_hz).div_ceil(most);
            return Err(format!(
                "{baud} baud do not carry the fewest samples that a clock of {clock_hz} Hz comes to: {needed} would"
            ));
        };
        Ok(Self { clock_hz, divider, tap, postpreset })
    }

    /// What the wire carries in a second: as near as the clock's divider comes.
    #[must_use]
    pub fn baud(&self) -> u32 {
        self.clock_hz / self.divider.max(1)
    }

    /// How many samples are sent in a second.
    #[must_use]
    pub fn samples_per_s(&self) -> f64 {
        f64::from(self.clock_hz) / f64::from(self.period_cycles())
    }

    /// From one sample to the next.
    pub(crate) fn period_cycles(&self) -> u32 {
        let tap = if self.tap == 0 { 64 } else { 1024 };
        tap * (self.postpreset + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fit_on_the_wire() {
        for (clock_hz, baud, cycles) in
            [(16_000_000, 1_000_000, 1024), (72_000_000, 1_000_000, 5120), (168_000_000, 2_000_000, 6144)]
        {
            let swo = Swo::new(clock_hz, baud).unwrap();
            assert_eq!((swo.period_cycles(), swo.baud()), (cycles, baud), "{clock_hz}");
            assert!(swo.samples_per_s() * 50.0 <= 0.8 * f64::from(baud));
        }
        let fastest = Swo::new(2_000_000, 2_000_000).unwrap();
        assert_eq!((fastest.period_cycles(), fastest.divider), (64, 1));
    }

    /// The receiver is told what the divider makes of it.
    #[test]
    fn a_baud_rate_is_the_nearest_that_there_is() {
        assert_eq!(Swo::new(10_000_000, 1_600_000).unwrap().baud(), 1_666_666);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |clock_hz, baud| Swo::new(clock_hz, baud).unwrap_err();
        assert_eq!(refused(16_000_000, 0), "0 baud: at least 1200 have to be");
        assert_eq!(refused(0, 115_200), "a clock of 0 Hz does not send 115200 baud");
        assert_eq!(refused(500_000, 1_000_000), "a clock of 500000 Hz does not send 1000000 baud");
        let slow = refused(168_000_000, 115_200);
        assert!(slow.ends_with("comes to: 641222 would"), "{slow}");
        assert!(Swo::new(168_000_000, 641_222).is_ok());
        assert!(Swo::new(u32::MAX, u32::MAX).is_ok());
    }
}
