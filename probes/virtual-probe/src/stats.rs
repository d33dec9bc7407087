//! What a debugger did to the chip and to the target.

use std::fmt;

/// Counts of everything that reached the chip, since it was made or since [`take`](crate::Dap::take_stats).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Reads of the debug port's own registers.
    pub dp_reads: u64,
    /// Writes of them.
    pub dp_writes: u64,
    /// Reads of the access port's registers, memory's words among them.
    pub ap_reads: u64,
    /// Writes of them.
    pub ap_writes: u64,
    /// Reads of DRW, among `ap_reads`.
    pub drw_reads: u64,
    /// Reads of BD0 to BD3, among `ap_reads`.
    pub bd_reads: u64,
    /// Writes of TAR, among `ap_writes`.
    pub tar_writes: u64,
    /// Writes of CSW, among `ap_writes`.
    pub csw_writes: u64,
    /// Reads on RISC-V's debug module interface.
    pub dmi_reads: u64,
    /// Writes there.
    pub dmi_writes: u64,
    /// Scans of its register in all, also those that ask for nothing.
    pub dmi_scans: u64,
    /// Reads of memory by RISC-V's system bus.
    pub system_bus_reads: u64,
    /// Writes by it, which are among `memory_writes` too.
    pub system_bus_writes: u64,
    /// Abstract commands that a RISC-V debug module was to execute.
    pub abstract_commands: u64,
    /// Registers of a RISC-V hart that were not as they had been when it ran on.
    pub registers_left_changed: u64,
    /// How often the processor was halted.
    pub halts: u64,
    /// How often it was stepped.
    pub steps: u64,
    /// How often it was let run on.
    pub resumes: u64,
    /// How often it was reset.
    pub resets: u64,
    /// Reads of DWT_PCSR.
    pub pcsr_reads: u64,
    /// Bytes that the probe's receiver of SWO got.
    pub swo_bytes: u64,
    /// Writes to memory, debug registers not among them.
    pub memory_writes: u64,
    /// What was written to DHCSR, in order.
    pub dhcsr_writes: Vec<u32>,
    /// What was written to DEMCR, in order.
    pub demcr_writes: Vec<u32>,
    /// How many faults were injected.
    pub faults: u64,
    /// How often the target failed otherwise than by a bus fault.
    pub target_errors: u64,
    /// The words of the last such failure.
    pub last_target_error: Option<String>,
}

impl Stats {
    /// All transfers, also those that were not acknowledged.
    #[must_use]
    pub fn transfers(&self) -> u64 {
        [self.dp_reads, self.dp_writes, self.ap_reads, self.ap_writes, self.dmi_reads, self.dmi_writes]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// What lies between an earlier look and this one. Of the values written, those that came since.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let values = |now: &[u32], then: &[u32]| now.get(then.len()..).unwrap_or_default().to_vec();
        Self {
            dp_reads: self.dp_reads.saturating_sub(earlier.dp_reads),
            dp_writes: self.dp_writes.saturating_sub(earlier.dp_writes),
            ap_reads: self.ap_reads.saturating_sub(earlier.ap_reads),
            ap_writes: self.ap_writes.saturating_sub(earlier.ap_writes),
            drw_reads: self.drw_reads.saturating_sub(earlier.drw_reads),
            bd_reads: self.bd_reads.saturating_sub(earlier.bd_reads),
            tar_writes: self.tar_writes.saturating_sub(earlier.tar_writes),
            csw_writes: self.csw_writes.saturating_sub(earlier.csw_writes),
            dmi_reads: self.dmi_reads.saturating_sub(earlier.dmi_reads),
            dmi_writes: self.dmi_writes.saturating_sub(earlier.dmi_writes),
            dmi_scans: self.dmi_scans.saturating_sub(earlier.dmi_scans),
            system_bus_reads: self.system_bus_reads.saturating_sub(earlier.system_bus_reads),
            system_bus_writes: self.system_bus_writes.saturating_sub(earlier.system_bus_writes),
            abstract_commands: self.abstract_commands.saturating_sub(earlier.abstract_commands),
            registers_left_changed: self
                .registers_left_changed
                .saturating_sub(earlier.registers_left_changed),
            halts: self.halts.saturating_sub(earlier.halts),
            steps: self.steps.saturating_sub(earlier.steps),
            resumes: self.resumes.saturating_sub(earlier.resumes),
            resets: self.resets.saturating_sub(earlier.resets),
            pcsr_reads: self.pcsr_reads.saturating_sub(earlier.pcsr_reads),
            swo_bytes: self.swo_bytes.saturating_sub(earlier.swo_bytes),
            memory_writes: self.memory_writes.saturating_sub(earlier.memory_writes),
            dhcsr_writes: values(&self.dhcsr_writes, &earlier.dhcsr_writes),
            demcr_writes: values(&self.demcr_writes, &earlier.demcr_writes),
            faults: self.faults.saturating_sub(earlier.faults),
            target_errors: self.target_errors.saturating_sub(earlier.target_errors),
            last_target_error: self.last_target_error.clone(),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} halts, {} steps, {} resumes, {} resets, {} memory writes, {} transfers ({} reads of DRW, {} samples \
             of the program counter)",
            self.halts,
            self.steps,
            self.resumes,
            self.resets,
            self.memory_writes,
            self.transfers(),
            self.drw_reads,
            self.pcsr_reads,
        )?;
        if self.dmi_scans != 0 {
            write!(
                f,
                ", {} scans of DMI, {} reads by the system bus, {} abstract commands, {} registers left changed",
                self.dmi_scans, self.system_bus_reads, self.abstract_commands, self.registers_left_changed,
            )?;
        }
        match &self.last_target_error {
            Some(error) => write!(f, "; {} failures of the target, the last: {error}", self.target_errors),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_has_what_came_since() {
        let earlier = Stats { ap_reads: 3, dhcsr_writes: vec![1], ..Stats::default() };
        let now = Stats { ap_reads: 10, dp_writes: 1, dhcsr_writes: vec![1, 2], ..Stats::default() };
        let since = now.since(&earlier);
        assert_eq!((since.transfers(), since.dhcsr_writes), (8, vec![2]));
    }

    #[test]
    fn a_failure_of_the_target_is_said() {
        let mut stats = Stats { halts: 1, ..Stats::default() };
        assert!(stats.to_string().starts_with("1 halts, 0 steps") && !stats.to_string().contains("failures"));
        (stats.target_errors, stats.last_target_error) = (2, Some("gone".to_owned()));
        assert!(stats.to_string().ends_with("; 2 failures of the target, the last: gone"));
    }
}
