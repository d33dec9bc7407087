//! Samples that a processor sends by SWO, on a virtual probe: what they are, what is changed for them, and what is said where
//! none arrive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use covtap_debug_probe::{DebugProbe, Options, Swo};
use covtap_link::{Burst, Link, LinkError, ReadMemory, TargetAddr};
use covtap_virtual_probe::{
    DebugRegisters, Fault, Injector, ListenAddress, PluggedIn, Port, Protocol, Ram, Server, SharedDap,
    TRACE_CLOCK_HZ, lock, plug_in, ppb, shared,
};

const BASE: u32 = 0x2000_0000;
const PCS: [u32; 3] = [0x100, 0x104, 0x0800_0108];
const BAUD: u32 = 1_000_000;

struct Chip {
    dap: SharedDap,
    plugged_in: PluggedIn,
}

impl Chip {
    fn new(name: &str) -> Self {
        let dap = shared(Ram::of_words(BASE, 1..64, PCS.to_vec()));
        Self { plugged_in: plug_in(name, dap.clone()), dap }
    }

    fn options(&self, clock_hz: u32) -> Options {
        let selector = Some(self.plugged_in.selector().parse().unwrap());
        let swo = Some(Swo::new(clock_hz, BAUD).unwrap());
        Options { selector, swo, reply_timeout: Duration::from_secs(20), ..Options::default() }
    }

    fn open(&self) -> DebugProbe {
        DebugProbe::open(&self.options(TRACE_CLOCK_HZ)).unwrap()
    }

    fn registers(&self) -> DebugRegisters {
        lock(&self.dap).debug_registers()
    }
}

/// Samples until some time is over.
fn samples(link: &mut DebugProbe, time: Duration) -> Result<(Vec<TargetAddr>, Burst), LinkError> {
    let began = Instant::now();
    let (mut samples, mut all) = (Vec::new(), Burst::default());
    while began.elapsed() < time {
        all += link.sampler().unwrap().sample(&mut samples)?;
    }
    Ok((samples, all))
}

#[test]
fn samples_come_at_their_rate_and_all_that_was_changed_is_changed_back() {
    let chip = Chip::new("swo");
    let before = chip.registers();
    let mut link = chip.open();
    assert_eq!(chip.registers(), before, "nothing is changed before it is needed");
    let began = Instant::now();
    let (samples, all) = samples(&mut link, Duration::from_secs(1)).unwrap();
    let elapsed = began.elapsed().as_secs_f64();
    assert_ne!(chip.registers(), before);
    assert!(samples.iter().all(|at| PCS.contains(&u32::try_from(at.get()).unwrap())), "{samples:x?}");
    assert!(PCS.iter().all(|at| samples.contains(&TargetAddr::new(u64::from(*at)))));
    // 16 MHz by 1024, but for the time of the beginning.
    let expected = 15_625.0 * elapsed;
    assert!((0.9 * expected..=expected).contains(&(all.due as f64)), "{all:?} in {elapsed} s");
    assert!(all.num > all.due / 2 && all.num == samples.len() as u64, "{all:?}");
    assert!(all.undecoded_bytes <= 50, "before the first synchronisation: {all:?}");
    let mut word = [0; 4];
    link.read(TargetAddr::new(u64::from(BASE)), &mut word).unwrap();
    assert_eq!(word, [1, 0, 0, 0], "memory is read meanwhile");
    link.detach().unwrap();
    assert_eq!(chip.registers(), before);
    let stats = lock(&chip.dap).stats().clone();
    assert_eq!((stats.halts, stats.pcsr_reads, stats.memory_writes, stats.dhcsr_writes), (0, 0, 0, vec![]));
    assert!(stats.swo_bytes >= 5 * all.num);
}

/// What a program or another debugger has set stays so: a counter that counts, trace of its own, locks that are open.
#[test]
fn what_others_have_set_is_there_afterwards() {
    let chip = Chip::new("swo others");
    let write = |address, value| {
        let mut dap = lock(&chip.dap);
        dap.write(Port::Debug, 4, 0x5000_0000).unwrap();
        dap.write(Port::Debug, 8, 0).unwrap();
        dap.write(Port::Access, 0, 0x2300_0002).unwrap();
        dap.write(Port::Access, 4, address).unwrap();
        dap.write(Port::Access, 0xc, value).unwrap();
    };
    for (address, value) in [
        (ppb::DEMCR, ppb::TRCENA),
        (ppb::ITM_LAR, 0xc5ac_ce55),
        (ppb::ITM_TER, 3),
        (ppb::ITM_TCR, 0x0003_0003),
        (ppb::TPIU_ACPR, 99),
        (ppb::DWT_CTRL, 0x0001_0001),
    ] {
        write(address, value);
    }
    let before = chip.registers();
    let mut link = chip.open();
    let (_, all) = samples(&mut link, Duration::from_millis(1500)).unwrap();
    assert!(all.num > 1000, "{all:?}");
    // The counter is not ours to set: the first synchronisation comes in its own time.
    drop(link);
    assert_eq!(chip.registers(), before);
}

/// The chip's own sequence of `probe-rs` routes the pin, and what that writes is changed back too.
#[test]
fn a_chip_that_is_named_has_its_pin_routed() {
    let chip = Chip::new("swo pin");
    let before = chip.registers();
    let options = Options { chip: Some("STM32F103C8".to_owned()), ..chip.options(TRACE_CLOCK_HZ) };
    let mut link = DebugProbe::open(&options).unwrap();
    let (_, all) = samples(&mut link, Duration::from_millis(300)).unwrap();
    assert!(all.num > 500, "{all:?}");
    assert_eq!(chip.registers().trace.dbgmcu_cr, 1 << 5, "TRACE_IOEN");
    link.detach().unwrap();
    assert_eq!(chip.registers(), before);
    assert_eq!(lock(&chip.dap).stats().halts, 0);
}

/// Who comes late is told so by the target, and what was due is known.
#[test]
fn samples_that_were_dropped_are_counted() {
    let chip = Chip::new("swo late");
    let mut link = chip.open();
    let (_, first) = samples(&mut link, Duration::from_millis(100)).unwrap();
    thread::sleep(Duration::from_millis(500));
    let mut places = Vec::new();
    let late = link.sampler().unwrap().sample(&mut places).unwrap();
    assert!(late.overflows > 0 && late.due > 7000 && late.lost() > late.due / 2, "{first:?}, {late:?}");
    assert!(!places.is_empty(), "what is there after an overflow is believed");
}

/// A clock that is not the chip's makes another baud rate of the same divider: nothing is decoded of it, and that is said.
#[test]
fn another_clock_than_the_chips_gives_no_sample() {
    let chip = Chip::new("swo clock");
    let before = chip.registers();
    let mut link = DebugProbe::open(&chip.options(48_000_000)).unwrap();
    let error = samples(&mut link, Duration::from_secs(10)).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error:?}");
    let said = error.to_string();
    assert!(
        said.starts_with("command receive samples by SWO on debug probe 1209:c0de:swo clock: refused: in "),
        "{said}"
    );
    assert!(said.ends_with("at 1000000 baud, and no synchronisation of a trace"), "{said}");
    drop(link);
    assert_eq!(chip.registers(), before);
}

/// Registers of the trace are changed also where the bus refuses now and then, and are changed back.
#[test]
fn faults_on_the_way_are_repaired() {
    for (index, fault) in
        [Fault::Wait { times: 1 }, Fault::BusFault, Fault::SilentBusFault].into_iter().enumerate()
    {
        for transfer in (0..120).step_by(7) {
            let chip = Chip::new(&format!("swo repairs {index} {transfer}"));
            let before = chip.registers();
            let mut link = chip.open();
            lock(&chip.dap).set_injector(Injector::new().at(transfer, fault));
            let (samples, all) = samples(&mut link, Duration::from_millis(25)).unwrap();
            assert!(all.num > 0, "{fault:?} at {transfer}: {all:?}");
            assert!(samples.iter().all(|at| PCS.contains(&u32::try_from(at.get()).unwrap())));
            lock(&chip.dap).set_injector(Injector::new().at(transfer / 4, fault));
            link.detach().unwrap_or_else(|error| panic!("{fault:?} at {transfer}: {error}"));
            assert_eq!(chip.registers(), before, "{fault:?} at {transfer}");
        }
    }
}

#[test]
fn a_link_that_is_lost_in_the_middle_is_an_error() {
    for (name, fault) in [("swo cable", Fault::LinkLoss), ("swo power", Fault::PowerLoss)] {
        let chip = Chip::new(name);
        let mut link = chip.open();
        samples(&mut link, Duration::from_millis(50)).unwrap();
        lock(&chip.dap).inject(fault);
        let error = samples(&mut link, Duration::from_secs(5)).unwrap_err();
        assert!(error.is_fatal(), "{name}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        drop(link);
        lock(&chip.dap).mend();
        samples(&mut chip.open(), Duration::from_millis(50)).unwrap();
    }
}

/// Somebody who switches the trace off meanwhile is noticed.
#[test]
fn a_trace_that_is_switched_off_is_an_error() {
    let chip = Chip::new("swo off");
    let mut link = chip.open();
    samples(&mut link, Duration::from_millis(50)).unwrap();
    let mut dap = lock(&chip.dap);
    dap.write(Port::Access, 4, ppb::DWT_CTRL).unwrap();
    dap.write(Port::Access, 0xc, 0).unwrap();
    drop(dap);
    let error = samples(&mut link, Duration::from_secs(5)).unwrap_err().to_string();
    assert!(error.contains("DWT_CTRL reads as 0x40000000, and 0x0000"), "{error}");
}

#[test]
fn a_processor_that_cannot_send_is_refused_with_all_changed_back() {
    for (bit, name) in [(25, "DWT_CTRL.NOCYCCNT"), (27, "DWT_CTRL.NOTRCPKT")] {
        let chip = Chip::new(name);
        lock(&chip.dap).set_dwt_lacks(1 << bit);
        let before = chip.registers();
        let mut link = chip.open();
        let error = link.sampler().unwrap().sample(&mut Vec::new()).unwrap_err();
        assert!(matches!(error, LinkError::Refused { .. }), "{error:?}");
        assert!(error.to_string().ends_with(&format!("({name})")), "{error}");
        link.detach().unwrap();
        assert_eq!(chip.registers(), before);
    }
}

/// A probe of the Glasgow kind has no receiver.
#[test]
fn a_probe_without_a_receiver_is_refused_with_nothing_changed() {
    let dap = shared(Ram::of_words(BASE, 1..64, PCS.to_vec()));
    let address: ListenAddress = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(&address, Protocol::Glasgow, dap.clone(), |_, _| ()).unwrap();
    let before = lock(&dap).debug_registers();
    let selector = Some(server.selector().parse().unwrap());
    let swo = Some(Swo::new(TRACE_CLOCK_HZ, BAUD).unwrap());
    let mut link = DebugProbe::open(&Options { selector, swo, ..Options::default() }).unwrap();
    let error = link.sampler().unwrap().sample(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("the probe's receiver of SWO: it has none that probe-rs knows"),
        "{error}"
    );
    link.detach().unwrap();
    assert_eq!(lock(&dap).debug_registers(), before);
}
