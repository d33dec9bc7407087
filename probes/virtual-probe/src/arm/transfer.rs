//! A transfer of a debug port, in the words of every wire (ADIv5.2, B4 and B3).
//!
//! What enters and leaves are words alone: which port, how it was acknowledged, whose rules are kept.

/// Whose register a transfer is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Port {
    /// The debug port's own.
    Debug,
    /// The access port's that SELECT names.
    Access,
}

/// How a transfer is acknowledged that is not OK.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ack {
    /// The access port is busy: try again.
    Wait,
    /// The sticky error is set.
    Fault,
    /// Nobody is there.
    None,
}

/// Whose rules about the sticky error are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    /// SWD: what is refused is acknowledged FAULT.
    Swd,
    /// JTAG: the debug port's own registers are never refused.
    Jtag,
}
