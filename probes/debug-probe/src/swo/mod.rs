//! A Cortex-M that sends where it is by one wire, and the probe's receiver at its end.
//!
//! What enters is how fast that is to be; what leaves are samples, and what became of others. Nobody asks for a sample: the
//! bus is not used for them.
//!
//! What always holds: what was set reads as it was set, or is a fault; everything is [changed](Changed) back, also
//! what the chip's own debug sequence writes.
//!
//! Registers are those of the Armv7-M Architecture Reference Manual (DDI 0403): C1.7 (ITM), C1.8 (DWT), C1.10 (TPIU).

mod itm;
mod rate;
mod recorded;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use covtap_link::Burst;
use probe_rs::architecture::arm::component::{TraceSink, find_component, get_arm_components};
use probe_rs::architecture::arm::memory::{ArmMemoryInterface, PeripheralType};
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{ArmError, SwoConfig};

use self::itm::{Decoded, Decoder};
use self::recorded::Recorded;
use crate::access::{none_was_refused, read_word};
use crate::changed::Changed;
use crate::choose::said;
use crate::memory::Fault;

pub use self::rate::Swo;

/// The processor's id: architectures Armv6-M and Armv8-M without the Main Extension.
const CPUID: u64 = 0xe000_ed00;
const ARCHITECTURE: u32 = 0xf << 16;
const BASELINE: u32 = 0xc << 16;

const ITM: u64 = 0xe000_0000;
const ITM_TER: u64 = 0xe000_0e00;
const ITM_TCR: u64 = 0xe000_0e80;
/// The trace has number 1, which not every ITM keeps.
const ITM_ON: u32 = 1 << 16 | ITM_ENABLES;
/// ITM is on, has synchronisation packets, and those of DWT.
const ITM_ENABLES: u32 = TXENA | SYNCENA | ITMENA;
const ITMENA: u32 = 1 << 0;
const SYNCENA: u32 = 1 << 2;
const TXENA: u32 = 1 << 3;
const BUSY: u32 = 1 << 23;

const DWT_CTRL: u64 = 0xe000_1000;
const DWT_CYCCNT: u64 = 0xe000_1004;
const CYCCNTENA: u32 = 1 << 0;
/// A synchronisation whenever bit 24 of the counter changes.
const SYNCTAP: u32 = 1 << 10;
const SYNC_CYCLES: u32 = 1 << 24;
const PCSAMPLENA: u32 = 1 << 12;
/// What DWT counts and sends, and how often.
const DWT_ENABLES: u32 = 0x007f_ffff;
const NOCYCCNT: u32 = 1 << 25;
const NOTRCPKT: u32 = 1 << 27;

/// The port of the trace, where the chip's own tables do not name another.
const TPIU: u64 = 0xe004_0000;
/// And its registers, which CoreSight's SWO (DDI 0314) has at the same places.
const ACPR: u64 = 0x010;
const SPPR: u64 = 0x0f0;
const FFCR: u64 = 0x304;
const TYPE: u64 = 0xfc8;
const NRZ: u32 = 2;
const HAS_NRZ: u32 = 1 << 11;
const TRIG_IN: u32 = 1 << 8;
const EN_F_CONT: u32 = 1 << 1;

/// For how long a receiver is read at once, and how often if it has nothing.
const WHILE: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(1);
/// Within this, and twice the time of a synchronisation, something has to have come.
const PATIENCE: Duration = Duration::from_secs(2);

/// A processor that sends, or is about to.
pub(crate) struct Sent {
    swo: Swo,
    /// Whether the probe has a receiver, as its driver says.
    has_receiver: bool,
    /// How the chip's pins are set, where the chip was named.
    sequence: Option<Arc<dyn ArmDebugSequence>>,
    /// Since when it sends.
    since: Option<Instant>,
    receives: bool,
    decoder: Decoder,
    num_bytes: u64,
    due: u64,
    was_synchronised: bool,
    /// What was decoded and not handed out.
    ready: (Vec<u32>, Burst),
}

impl Sent {
    pub(crate) fn new(swo: Swo, has_receiver: bool, sequence: Option<Arc<dyn ArmDebugSequence>>) -> Self {
        Self {
            swo,
            has_receiver,
            sequence,
            since: None,
            receives: false,
            decoder: Decoder::default(),
            num_bytes: 0,
            due: 0,
            was_synchronised: false,
            ready: Default::default(),
        }
    }

    /// What came since. The trace is on (`TRCENA`).
    pub(crate) fn receive(
        &mut self,
        memory: &mut dyn ArmMemoryInterface,
        changed: &mut Changed,
        progress: &dyn Fn(),
    ) -> Result<(), Fault> {
        let since = match self.since {
            Some(since) => since,
            None => self.begin(memory, changed, progress)?,
        };
        let before = self.num_bytes;
        self.read(memory, since, progress)?;
        if self.num_bytes == before {
            confirm(memory, "DWT_CTRL", DWT_CTRL, self.dwt_ctrl(), DWT_ENABLES)?;
            confirm(memory, "ITM_TCR", ITM_TCR, ITM_ON, ITM_ENABLES)?;
        }
        self.is_heard(since)
    }

    /// Reads for a short while, so that the bus is not asked often whether all is well.
    fn read(
        &mut self,
        memory: &mut dyn ArmMemoryInterface,
        since: Instant,
        progress: &dyn Fn(),
    ) -> Result<(), Fault> {
        let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
        let began = Instant::now();
        while let Some(left) = WHILE.checked_sub(began.elapsed()) {
            let bytes = arm.read_swo_timeout(left)?;
            progress();
            self.num_bytes = self.num_bytes.saturating_add(bytes.len() as u64);
            let decoded = self.decoder.decode(&bytes);
            self.add(decoded, since.elapsed());
            if bytes.is_empty() {
                // Not every probe waits.
                thread::sleep(left.min(LOOK));
            }
        }
        Ok(())
    }

    /// What has come, and was not handed out.
    pub(crate) fn take(&mut self) -> (Vec<u32>, Burst) {
        std::mem::take(&mut self.ready)
    }

    fn add(&mut self, decoded: Decoded, elapsed: Duration) {
        let Decoded { places, nowhere, overflows, undecoded_bytes } = decoded;
        let due = elapsed.as_millis() * u128::from(self.swo.clock_hz)
            / (1000 * u128::from(self.swo.period_cycles()));
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let num = nowhere.saturating_add(places.len() as u64);
        let (all, burst) = &mut self.ready;
        *burst += Burst { num, due: due.saturating_sub(self.due), overflows, undecoded_bytes };
        all.extend(places);
        self.due = due;
    }

    /// Whether something came that means something, or may still come.
    fn is_heard(&mut self, since: Instant) -> Result<(), Fault> {
        self.was_synchronised |= self.decoder.is_synchronised();
        let period = Duration::from_secs_f64(f64::from(SYNC_CYCLES) / f64::from(self.swo.clock_hz.max(1)));
        let waited = since.elapsed();
        if self.was_synchronised || waited < PATIENCE.saturating_add(period.saturating_mul(2)) {
            return Ok(());
        }
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Err(Fault::NotHeard { num_bytes: self.num_bytes, baud: self.swo.baud(), waited_ms })
    }

    fn dwt_ctrl(&self) -> u32 {
        let Swo { tap, postpreset, .. } = self.swo;
        PCSAMPLENA | SYNCTAP | tap << 9 | postpreset << 5 | postpreset << 1 | CYCCNTENA
    }

    /// Has the probe receive, and the processor send.
    fn begin(
        &mut self,
        memory: &mut dyn ArmMemoryInterface,
        changed: &mut Changed,
        progress: &dyn Fn(),
    ) -> Result<Instant, Fault> {
        if !self.has_receiver {
            return Err(Fault::NoReceiver("it has none that probe-rs knows".to_owned()));
        }
        let (cpuid, dwt_ctrl) = (read_word(memory, CPUID)?, read_word(memory, DWT_CTRL)?);
        none_was_refused(memory)?;
        match dwt_ctrl {
            _ if cpuid & ARCHITECTURE == BASELINE => {
                return Err(Fault::SendsNone("has no ITM, as no small Cortex-M has (CPUID.Architecture)"));
            }
            it if it & NOTRCPKT != 0 => return Err(Fault::SendsNone("sends no trace (DWT_CTRL.NOTRCPKT)")),
            it if it & NOCYCCNT != 0 => {
                return Err(Fault::SendsNone("has no counter of cycles (DWT_CTRL.NOCYCCNT)"));
            }
            _ => {}
        }
        let port = self.routed(memory, changed)?;
        progress();
        self.listen(memory)?;
        progress();
        self.open_port(memory, changed, port)?;
        progress();
        self.open_itm(memory, changed)?;
        progress();
        self.begin_samples(memory, changed, dwt_ctrl)?;
        let since = Instant::now();
        self.since = Some(since);
        Ok(since)
    }

    /// Has the chip's pin carry the trace, as far as `probe-rs` knows how; where the port of the trace is.
    fn routed(&self, memory: &mut dyn ArmMemoryInterface, changed: &mut Changed) -> Result<u64, Fault> {
        let Some(sequence) = &self.sequence else { return Ok(TPIU) };
        let dp = memory.fully_qualified_address().dp();
        let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
        let mut arm = Recorded { arm, changed };
        let failed = |error: ArmError| Fault::NotRouted(said(&error));
        let components = get_arm_components(&mut arm, dp).map_err(failed)?;
        // Sequences take the first for granted.
        if components.is_empty() {
            return Ok(TPIU);
        }
        sequence.trace_start(&mut arm, &components, &TraceSink::Swo(self.config())).map_err(failed)?;
        none_was_refused(memory)?;
        let port = find_component(&components, PeripheralType::Swo)
            .or_else(|_| find_component(&components, PeripheralType::Tpiu));
        Ok(port.map_or(TPIU, |port| port.component.id().component_address()))
    }

    fn config(&self) -> SwoConfig {
        SwoConfig::new(self.swo.clock_hz).set_mode_uart().set_baud(self.swo.baud())
    }

    /// Before anything is sent, so that it begins with a whole packet.
    fn listen(&mut self, memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
        if self.receives {
            return Ok(());
        }
        let arm = memory.get_arm_debug_interface().map_err(ArmError::from)?;
        arm.enable_swo(&self.config()).map_err(|error| Fault::NoReceiver(said(&error)))?;
        self.receives = true;
        Ok(())
    }

    /// The port sends bits as an UART does, and what it gets as it is.
    fn open_port(
        &self,
        memory: &mut dyn ArmMemoryInterface,
        changed: &mut Changed,
        port: u64,
    ) -> Result<(), Fault> {
        let kinds = read_word(memory, port + TYPE)?;
        none_was_refused(memory)?;
        if kinds & HAS_NRZ == 0 {
            return Err(Fault::SendsNone("has no port that sends a trace as an UART does (TPIU_TYPE)"));
        }
        let divider = self.swo.divider - 1;
        changed.unlock(memory, port)?;
        changed.write(memory, port + SPPR, NRZ)?;
        changed.write(memory, port + ACPR, divider)?;
        changed.write(memory, port + FFCR, TRIG_IN)?;
        confirm(memory, "TPIU_SPPR", port + SPPR, NRZ, 3)?;
        confirm(memory, "TPIU_ACPR", port + ACPR, divider, u32::MAX)?;
        confirm(memory, "TPIU_FFCR", port + FFCR, 0, EN_F_CONT)
    }

    /// ITM forwards what DWT has. Its ports for the program are off: nobody else reads them now, and a program would wait for
    /// the wire.
    fn open_itm(&self, memory: &mut dyn ArmMemoryInterface, changed: &mut Changed) -> Result<(), Fault> {
        const MAX_LOOKS: usize = 100;
        changed.unlock(memory, ITM)?;
        changed.write(memory, ITM_TCR, 0)?;
        // The trace's number is not to change while something is on its way (C1.7).
        for _ in 0..MAX_LOOKS {
            if read_word(memory, ITM_TCR)? & BUSY == 0 {
                break;
            }
        }
        changed.write(memory, ITM_TER, 0)?;
        changed.write(memory, ITM_TCR, ITM_ON)?;
        confirm(memory, "ITM_TCR", ITM_TCR, ITM_ON, ITM_ENABLES)
    }

    fn begin_samples(
        &self,
        memory: &mut dyn ArmMemoryInterface,
        changed: &mut Changed,
        dwt_ctrl: u32,
    ) -> Result<(), Fault> {
        /// Just before a synchronisation.
        const SOON: u32 = SYNC_CYCLES - (1 << 12);
        if dwt_ctrl & CYCCNTENA == 0 {
            // Nobody counts with it, so it need not be waited for.
            changed.write(memory, DWT_CYCCNT, SOON)?;
        }
        // What it counts from is to be written while it takes no samples (C1.8).
        changed.write(memory, DWT_CTRL, self.dwt_ctrl() & !PCSAMPLENA)?;
        changed.write(memory, DWT_CTRL, self.dwt_ctrl())?;
        confirm(memory, "DWT_CTRL", DWT_CTRL, self.dwt_ctrl(), DWT_ENABLES)
    }

    /// Has the probe receive no more. Nothing is sent any more.
    pub(crate) fn end(&mut self, memory: &mut dyn ArmMemoryInterface) -> Result<(), Fault> {
        self.since = None;
        if self.receives {
            memory.get_arm_debug_interface().map_err(ArmError::from)?.disable_swo()?;
            self.receives = false;
        }
        Ok(())
    }
}

/// Makes sure that some bits of a register are what was written.
fn confirm(
    memory: &mut dyn ArmMemoryInterface,
    name: &'static str,
    address: u64,
    wrote: u32,
    bits: u32,
) -> Result<(), Fault> {
    let found = read_word(memory, address)?;
    none_was_refused(memory)?;
    let is_set = found & bits == wrote & bits;
    if is_set { Ok(()) } else { Err(Fault::NotSet { name, wrote, found }) }
}
