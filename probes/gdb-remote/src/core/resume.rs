//! Packets that let a target run, and breakpoints. (GDB manual, "Packets".)
//!
//! ```text
//! -> vCont?              <- vCont;c;C;s;S;t
//! -> vCont;c | c         all threads run on; the reply is the next stop reply
//! -> vCont;s:THREAD | s  one instruction
//! -> vCont;t             stops all threads; only in non-stop mode
//! -> vCont;CAA:THREAD;c  one thread gets signal AA, and all run on
//! -> Z0,ADDR,KIND | z0,ADDR,KIND    <- OK | E NN | (empty)       in memory; Z1, z1: in hardware
//! -> HgTHREAD            <- OK                  registers are those of this thread
//! -> D | D;PID           <- OK
//! -> qAttached[:PID]     <- 1 | 0               the server was attached to the program, or started it
//! ```

use std::collections::BTreeMap;

use super::stop::ThreadId;

/// The byte that asks a running target to stop; it is no packet.
pub(crate) const INTERRUPT: u8 = 0x03;

/// What a server can do with single threads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Actions {
    /// It has `vCont` with `c` and `s`.
    pub(crate) v_cont: bool,
}

impl Actions {
    /// Reads the answer to `vCont?`.
    pub(crate) fn parse(payload: &[u8]) -> Self {
        let actions: Vec<&[u8]> =
            payload.strip_prefix(b"vCont").unwrap_or_default().split(|byte| *byte == b';').collect();
        Self { v_cont: actions.contains(&&b"c"[..]) && actions.contains(&&b"s"[..]) }
    }

    /// Lets every thread run on, and gives signals to those that were stopped with one.
    pub(crate) fn resume(self, signals: &BTreeMap<ThreadId, u8>) -> Vec<u8> {
        if !self.v_cont {
            return b"c".to_vec();
        }
        let signals = signals.iter().map(|(thread, signal)| format!(";C{signal:02x}:{thread}"));
        format!("vCont{};c", signals.collect::<String>()).into_bytes()
    }

    /// Lets one thread execute one instruction.
    pub(crate) fn step(self, thread: Option<&ThreadId>) -> Vec<u8> {
        match thread {
            Some(thread) if self.v_cont => format!("vCont;s:{thread}").into_bytes(),
            _ if self.v_cont => b"vCont;s".to_vec(),
            _ => b"s".to_vec(),
        }
    }
}

/// In non-stop mode: lets one thread run on with a signal.
pub(crate) fn pass_signal(signal: u8, thread: &ThreadId) -> Vec<u8> {
    format!("vCont;C{signal:02x}:{thread}").into_bytes()
}

/// A breakpoint, beside its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Breakpoint {
    /// The architecture's breakpoint size.
    pub(crate) kind: u8,
    /// In a comparator, and not in memory.
    pub(crate) is_hardware: bool,
}

/// Sets or clears a breakpoint.
pub(crate) fn breakpoint(is_set: bool, addr: u64, breakpoint: Breakpoint) -> Vec<u8> {
    let Breakpoint { kind, is_hardware } = breakpoint;
    format!("{}{},{addr:x},{kind:x}", if is_set { 'Z' } else { 'z' }, u8::from(is_hardware)).into_bytes()
}

/// Has registers be those of a thread.
pub(crate) fn select(thread: &ThreadId) -> Vec<u8> {
    format!("Hg{thread}").into_bytes()
}

/// Lets go of the target.
pub(crate) fn detach(process: Option<u64>) -> Vec<u8> {
    process.map_or_else(|| b"D".to_vec(), |process| format!("D;{process:x}").into_bytes())
}

/// Asks whether the program ran before the server came.
pub(crate) fn is_attached(process: Option<u64>) -> Vec<u8> {
    process.map_or_else(|| b"qAttached".to_vec(), |process| format!("qAttached:{process:x}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_spelled_as_the_manual_has_them() {
        let thread = ThreadId::parse(b"p01.02").unwrap();
        let with = Actions::parse(b"vCont;c;C;s;S");
        let without = Actions::parse(b"");
        let none = BTreeMap::new();
        assert_eq!((with.resume(&none), without.resume(&none)), (b"vCont;c".to_vec(), b"c".to_vec()));
        let one = BTreeMap::from([(thread.clone(), 10)]);
        assert_eq!(with.resume(&one), b"vCont;C0a:p01.02;c");
        assert_eq!(with.step(Some(&thread)), b"vCont;s:p01.02");
        assert_eq!(with.step(None), b"vCont;s");
        assert_eq!(without.step(Some(&thread)), b"s");
        assert_eq!(pass_signal(10, &thread), b"vCont;C0a:p01.02");
        let in_memory = Breakpoint { kind: 2, is_hardware: false };
        assert_eq!(breakpoint(true, 0x1000, in_memory), b"Z0,1000,2");
        assert_eq!(breakpoint(false, 0x1000, in_memory), b"z0,1000,2");
        assert_eq!(breakpoint(true, 0x1000, Breakpoint { is_hardware: true, ..in_memory }), b"Z1,1000,2");
        assert_eq!(select(&thread), b"Hgp01.02");
        assert_eq!(detach(Some(0x3273)), b"D;3273");
        assert_eq!(detach(None), b"D");
        assert_eq!(is_attached(Some(0x3273)), b"qAttached:3273");
        assert_eq!(is_attached(None), b"qAttached");
    }

    #[test]
    fn half_a_v_cont_is_none() {
        assert!(!Actions::parse(b"vCont;t").v_cont);
        assert!(!Actions::parse(b"c;s").v_cont);
        assert!(Actions::parse(b"vCont;c;s").v_cont);
    }
}
