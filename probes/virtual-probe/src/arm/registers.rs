//! The registers that debuggers set in a Cortex-M3, as they were written.
//!
//! What enters are writes, by [`cortex_m`](super::cortex_m) and [`swo`](super::swo); what leaves is what they read, and, for a
//! test, whether anything has changed. What always holds: after a loss of power all is as a chip powers on.

/// Four comparators, and all else that a DWT may lack.
pub(crate) const DWT_FIXED: u32 = 0x4000_0000;
/// Six comparators of instructions and two of literals.
pub(crate) const FP_FIXED: u32 = 0x260;
/// TPIU_SPPR: Manchester.
pub(crate) const MANCHESTER: u32 = 1;
/// TPIU_FFCR: the formatter is on; triggers are marked.
pub(crate) const EN_F_CONT: u32 = 1 << 1;
const TRIGIN: u32 = 1 << 8;

/// What debuggers set in the processor's debug registers, for a test to see that nothing has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DebugRegisters {
    /// DHCSR: the bits that a debugger writes.
    pub dhcsr_control: u32,
    /// DEMCR.
    pub demcr: u32,
    /// DWT_CTRL.
    pub dwt_ctrl: u32,
    /// COMP, MASK and FUNCTION of each of DWT's comparators.
    pub dwt_comparators: [[u32; 3]; 4],
    /// FP_CTRL.
    pub fp_ctrl: u32,
    /// The comparators of FPB.
    pub fp_comparators: [u32; 8],
    /// Those of the trace.
    pub trace: TraceRegisters,
}

impl DebugRegisters {
    pub(crate) fn at_power_on() -> Self {
        let trace = TraceRegisters::at_power_on();
        Self { dwt_ctrl: DWT_FIXED, fp_ctrl: FP_FIXED, trace, ..Self::default() }
    }
}

/// What debuggers set for a trace, for a test to see that nothing has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TraceRegisters {
    /// DWT_CYCCNT, as it was when it was written or stopped.
    pub dwt_cyccnt: u32,
    /// ITM_TER.
    pub itm_ter: u32,
    /// ITM_TCR.
    pub itm_tcr: u32,
    /// Whether ITM's registers are written after ITM_LAR alone.
    pub is_itm_unlocked: bool,
    /// TPIU_ACPR.
    pub tpiu_acpr: u32,
    /// TPIU_SPPR.
    pub tpiu_sppr: u32,
    /// TPIU_FFCR.
    pub tpiu_ffcr: u32,
    /// What a vendor's chips have at 0xE0042004: whether the pin carries the trace.
    pub dbgmcu_cr: u32,
}

impl TraceRegisters {
    pub(crate) fn at_power_on() -> Self {
        Self { tpiu_sppr: MANCHESTER, tpiu_ffcr: EN_F_CONT | TRIGIN, ..Self::default() }
    }
}
