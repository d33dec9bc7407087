//! Trace by one wire: what DWT, ITM and the trace port of a Cortex-M3 send, and the receiver of a probe at its end.
//!
//! What enters are registers and time as it passes; what leaves are the bytes that the receiver has got since it was asked
//! last: samples of the program counter with their synchronisation (Armv7-M ARM DDI 0403, D4.2 and D4.3.3).
//!
//! What always holds: nothing is sent unless everything on the way is on; a reader that is late, and a wire that is too slow,
//! cost samples, which an overflow packet tells; a receiver of another baud rate gets bytes that mean nothing.

use std::time::{Duration, Instant};

use crate::arm::ppb::{self, TRCENA};
use crate::arm::registers::{DebugRegisters, EN_F_CONT};
use crate::target::TargetError;

/// The clock of processor and trace port.
pub const TRACE_CLOCK_HZ: u32 = 16_000_000;

/// DWT_CTRL: the cycle counter counts.
const CYCCNTENA: u32 = 1 << 0;
/// DWT_CTRL: the program counter is sampled.
const PCSAMPLENA: u32 = 1 << 12;
/// ITM_TCR: ITM is on, synchronises, and forwards DWT's packets.
const ITMENA: u32 = 1 << 0;
const SYNCENA: u32 = 1 << 2;
const TXENA: u32 = 1 << 3;
/// What of ITM_TCR is written.
const ITM_TCR_WRITABLE: u32 = 0x007F_0F1F;
const UNLOCK: u32 = 0xC5AC_CE55;
/// TPIU_SPPR: NRZ.
const NRZ: u32 = 2;
/// TPIU_TYPE: Manchester and NRZ.
const TPIU_TYPE: u32 = 0xCA1;
/// The divider of a Cortex-M3's trace port has so many bits.
const ACPR_WRITABLE: u32 = 0x1FFF;

/// What a receiver keeps until it is asked.
const BUFFER_BYTES: u64 = 8192;
const SAMPLE_BYTES: u64 = 5;
/// Start bit, eight of data, stop bit.
const BITS_PER_BYTE: u64 = 10;
const SYNCHRONISATION: [u8; 6] = [0, 0, 0, 0, 0, 0x80];
const PC_SAMPLE: u8 = 0x17;
const OVERFLOW: u8 = 0x70;

/// The way of the trace, in time.
#[derive(Debug)]
pub(crate) struct Swo {
    began: Instant,
    /// The cycle up to which everything was sent.
    sent: u64,
    /// The cycle since which DWT_CYCCNT counts.
    counts_since: Option<u64>,
    receiver_baud: Option<u32>,
    noise: fastrand::Rng,
}

impl Swo {
    pub(crate) fn new() -> Self {
        let noise = fastrand::Rng::with_seed(1);
        Self { began: Instant::now(), sent: 0, counts_since: None, receiver_baud: None, noise }
    }

    /// Has the receiver listen, or no more.
    pub(crate) fn set_receiver(&mut self, baud: Option<u32>) {
        self.receiver_baud = baud;
        self.sent = self.now();
    }

    fn now(&self) -> u64 {
        let cycles = self.began.elapsed().as_nanos() * u128::from(TRACE_CLOCK_HZ) / 1_000_000_000;
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }

    /// DWT_CYCCNT at a cycle, and what has overflowed from it.
    fn count_at(&self, cycle: u64, registers: &DebugRegisters) -> u64 {
        let counted = self.counts_since.map_or(0, |since| cycle.saturating_sub(since));
        u64::from(registers.trace.dwt_cyccnt).saturating_add(counted)
    }

    /// A register of the trace.
    pub(crate) fn read(&self, address: u32, registers: &DebugRegisters) -> Option<u32> {
        let trace = &registers.trace;
        Some(match address {
            ppb::DWT_CYCCNT => low(self.count_at(self.now(), registers)),
            ppb::ITM_TER => trace.itm_ter,
            ppb::ITM_TCR => trace.itm_tcr,
            ppb::ITM_LSR => 1 | u32::from(!trace.is_itm_unlocked) << 1,
            ppb::TPIU_ACPR => trace.tpiu_acpr,
            ppb::TPIU_SPPR => trace.tpiu_sppr,
            ppb::TPIU_FFCR => trace.tpiu_ffcr,
            ppb::TPIU_TYPE => TPIU_TYPE,
            ppb::DBGMCU_CR => trace.dbgmcu_cr,
            _ => return None,
        })
    }

    /// Writes a register of the trace, if it is one.
    pub(crate) fn write(&mut self, address: u32, value: u32, registers: &mut DebugRegisters) {
        let trace = &mut registers.trace;
        match address {
            ppb::DWT_CYCCNT => {
                trace.dwt_cyccnt = value;
                self.counts_since = self.counts_since.map(|_| self.now());
            }
            ppb::ITM_TER if trace.is_itm_unlocked => trace.itm_ter = value,
            ppb::ITM_TCR if trace.is_itm_unlocked => trace.itm_tcr = value & ITM_TCR_WRITABLE,
            ppb::ITM_LAR => trace.is_itm_unlocked = value == UNLOCK,
            ppb::TPIU_ACPR => trace.tpiu_acpr = value & ACPR_WRITABLE,
            ppb::TPIU_SPPR => trace.tpiu_sppr = value & 3,
            ppb::TPIU_FFCR => trace.tpiu_ffcr = value & 0x102,
            ppb::DBGMCU_CR => trace.dbgmcu_cr = value,
            _ => {}
        }
    }

    /// Follows what was written: the counter goes on or stops, and what is off has sent nothing.
    pub(crate) fn follow(&mut self, registers: &mut DebugRegisters) {
        let now = self.now();
        let counts = registers.demcr & TRCENA != 0 && registers.dwt_ctrl & CYCCNTENA != 0;
        if !counts {
            registers.trace.dwt_cyccnt = low(self.count_at(now, registers));
            self.counts_since = None;
        } else if self.counts_since.is_none() {
            self.counts_since = Some(now);
        }
        if !is_on(registers) {
            self.sent = now;
        }
    }

    /// What the receiver has got since it was asked last. `pc` samples the processor.
    pub(crate) fn received(
        &mut self,
        registers: &DebugRegisters,
        is_halted: bool,
        pc: &mut dyn FnMut() -> Result<u32, TargetError>,
    ) -> Result<Vec<u8>, TargetError> {
        let now = self.now();
        let from = std::mem::replace(&mut self.sent, now);
        let Some(baud) = self.receiver_baud.filter(|_| is_on(registers) && !is_halted) else {
            return Ok(Vec::new());
        };
        let divider = u64::from(registers.trace.tpiu_acpr) + 1;
        let span = Span {
            from: self.count_at(from, registers),
            to: self.count_at(now, registers),
            has_samples: registers.dwt_ctrl & PCSAMPLENA != 0,
            period: period(registers.dwt_ctrl),
            sync_bit: sync_bit(registers),
        };
        let carried = now.saturating_sub(from) / divider / BITS_PER_BYTE / SAMPLE_BYTES + 1;
        let most = carried.min(BUFFER_BYTES / SAMPLE_BYTES);
        if !is_same_baud(baud, divider) {
            let num = span.num_samples().min(most) * SAMPLE_BYTES;
            return Ok((0..num).map(|_| self.noise.u8(..)).collect());
        }
        span.packets(most, pc)
    }
}

/// Counts of DWT_CYCCNT between two looks.
struct Span {
    from: u64,
    to: u64,
    has_samples: bool,
    period: u64,
    /// The counter's bit at whose change there is a synchronisation packet.
    sync_bit: Option<u32>,
}

impl Span {
    fn num_samples(&self) -> u64 {
        if self.has_samples { self.to / self.period - self.from / self.period } else { 0 }
    }

    fn has_sync(&self, from: u64, to: u64) -> bool {
        self.sync_bit.is_some_and(|bit| from >> bit != to >> bit)
    }

    /// What is sent, with so many samples at most.
    fn packets(
        &self,
        most: u64,
        pc: &mut dyn FnMut() -> Result<u32, TargetError>,
    ) -> Result<Vec<u8>, TargetError> {
        /// A target that is slow to tell where it is would have the next read want more yet.
        const PATIENCE: Duration = Duration::from_millis(10);
        let began = Instant::now();
        let mut bytes = Vec::new();
        let mut last = self.from;
        let num = self.num_samples();
        let mut is_late = num > most;
        for index in 1..=num.min(most) {
            if began.elapsed() > PATIENCE {
                is_late = true;
                break;
            }
            let at = (self.from / self.period + index) * self.period;
            if self.has_sync(last, at) {
                bytes.extend(SYNCHRONISATION);
            }
            bytes.push(PC_SAMPLE);
            bytes.extend(pc()?.to_le_bytes());
            last = at;
        }
        if is_late {
            bytes.push(OVERFLOW);
        }
        if self.has_sync(last, self.to) {
            bytes.extend(SYNCHRONISATION);
        }
        Ok(bytes)
    }
}

/// Whether everything between the processor and the pin is on.
fn is_on(registers: &DebugRegisters) -> bool {
    let DebugRegisters { demcr, dwt_ctrl, trace, .. } = registers;
    let has = |word: u32, bits: u32| word & bits == bits;
    has(*demcr, TRCENA)
        && has(*dwt_ctrl, CYCCNTENA)
        && has(trace.itm_tcr, ITMENA | TXENA)
        && trace.tpiu_sppr == NRZ
        && trace.tpiu_ffcr & EN_F_CONT == 0
}

/// CYCTAP and POSTPRESET: how many cycles there are from one sample to the next.
fn period(dwt_ctrl: u32) -> u64 {
    let tap = if dwt_ctrl & 1 << 9 == 0 { 64 } else { 1024 };
    tap * (u64::from(dwt_ctrl >> 1 & 0xF) + 1)
}

/// SYNCTAP.
fn sync_bit(registers: &DebugRegisters) -> Option<u32> {
    let tap = registers.dwt_ctrl >> 10 & 3;
    let is_on = registers.trace.itm_tcr & SYNCENA != 0 && tap != 0;
    is_on.then_some(22 + 2 * tap)
}

/// An asynchronous receiver bears 3 % or so.
fn is_same_baud(receiver: u32, divider: u64) -> bool {
    let (sent, received) = (u64::from(TRACE_CLOCK_HZ) / divider, u64::from(receiver));
    sent.abs_diff(received) * 100 <= 3 * sent
}

fn low(count: u64) -> u32 {
    u32::try_from(count & 0xFFFF_FFFF).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::registers::{MANCHESTER, TraceRegisters};

    /// Everything is on: a sample in 1024 cycles, at 1 MBd.
    fn on() -> DebugRegisters {
        let trace = TraceRegisters {
            dwt_cyccnt: 0x00FF_FF00,
            itm_tcr: ITMENA | SYNCENA | TXENA,
            tpiu_acpr: 15,
            tpiu_sppr: NRZ,
            tpiu_ffcr: 0x100,
            ..TraceRegisters::at_power_on()
        };
        let dwt_ctrl = PCSAMPLENA | 1 << 10 | 15 << 1 | CYCCNTENA;
        DebugRegisters { demcr: TRCENA, dwt_ctrl, trace, ..DebugRegisters::default() }
    }

    fn received(registers: &mut DebugRegisters, baud: u32, wait: Duration) -> Vec<u8> {
        let mut swo = Swo::new();
        swo.set_receiver(Some(baud));
        swo.follow(registers);
        // As if it had begun so much earlier.
        swo.began = swo.began.checked_sub(wait).expect("the host runs for longer");
        swo.received(registers, false, &mut || Ok(0x0102_0304)).expect("bytes")
    }

    #[test]
    fn what_is_sent_begins_with_a_synchronisation_and_has_samples() {
        let bytes = received(&mut on(), 1_000_000, Duration::from_millis(10));
        let (sync, samples) = bytes.split_at(6);
        assert_eq!(sync, SYNCHRONISATION);
        let (samples, rest) = samples.as_chunks::<5>();
        assert!(samples.iter().all(|sample| *sample == [PC_SAMPLE, 4, 3, 2, 1]) && rest.is_empty());
        assert!(samples.len() >= 156, "{}", samples.len());
    }

    #[test]
    fn nothing_is_sent_unless_all_is_on() {
        let changes: [fn(&mut DebugRegisters); 7] = [
            |it| it.demcr = 0,
            |it| it.dwt_ctrl &= !CYCCNTENA,
            |it| it.dwt_ctrl &= !(1 << 10 | PCSAMPLENA),
            |it| it.trace.itm_tcr &= !ITMENA,
            |it| it.trace.itm_tcr &= !TXENA,
            |it| it.trace.tpiu_sppr = MANCHESTER,
            |it| it.trace.tpiu_ffcr = 0x102,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut registers = on();
            change(&mut registers);
            let bytes = received(&mut registers, 1_000_000, Duration::from_millis(2));
            assert!(bytes.is_empty(), "{index}");
        }
    }

    #[test]
    fn another_baud_rate_is_noise_and_a_late_reader_is_told() {
        let bytes = received(&mut on(), 900_000, Duration::from_millis(2));
        assert!(bytes.len() > 100 && !bytes.starts_with(&SYNCHRONISATION), "{bytes:x?}");
        let bytes = received(&mut on(), 1_000_000, Duration::from_millis(150));
        assert_eq!(bytes.last(), Some(&OVERFLOW));
        assert!(bytes.len() < 8192 + 16);
    }
}
