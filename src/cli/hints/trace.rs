//! What helps where a trace and programs do not go together.

use crate::cli::run::TraceRunError;
use crate::cli::traces::TraceReportError;
use crate::collect::trace::TraceError;
use crate::coverage::trace::TracedImageError;
use crate::profile::trace::import::{Fault, ImportError};

pub(super) fn for_trace(error: &TraceReportError) -> &'static str {
    match error {
        TraceReportError::NoElf => {
            "name the program that ran beside the trace; its debug information has the lines"
        }
        TraceReportError::NoTrace { .. } => "name the trace too; other profiles need neither",
        TraceReportError::OtherProgram { .. } => {
            "give the very file that ran: lines of another build are elsewhere"
        }
        TraceReportError::WhichSpace { .. } => "say which space each program is in: --image SPACE=ELF",
        TraceReportError::NoSpace { .. } => "name one of the trace's address spaces",
        TraceReportError::Elsewhere { .. } => {
            "say how far from its own addresses each ELF was loaded: ELF@SLIDE"
        }
        TraceReportError::Mixed { .. } => "merge traces with traces, and profiles with profiles",
    }
}

pub(super) fn for_image(error: &TracedImageError) -> Option<&'static str> {
    match error {
        TracedImageError::NotLinked { .. } => Some("give the linked program"),
        TracedImageError::Stripped { .. } => Some("give the file as it was before strip, built with -g"),
        TracedImageError::Sections { .. } => None,
    }
}

pub(super) fn for_import(error: &ImportError) -> Option<&'static str> {
    match error {
        ImportError::Unknown { .. } => Some("--format says which form it has"),
        ImportError::Damaged { fault: Fault::Outside { .. }, .. } => {
            Some("--absolute reads what QEMU's drcov plugin writes: addresses, and no offsets into modules")
        }
        ImportError::Damaged { fault: Fault::At { .. } | Fault::Read { .. }, .. } => {
            Some("--partial keeps what is whole before that")
        }
        ImportError::Own { .. } => Some("it needs no import"),
        ImportError::Nothing { .. } => Some("is it of another form? --format says which it has"),
        _ => None,
    }
}

pub(super) fn for_tracing(error: &TraceError) -> Option<&'static str> {
    match error {
        TraceError::NoControl { .. } => Some("a debugger's server has them: --gdb"),
        TraceError::NoSamples { .. } => {
            Some("a debug probe shows it, on a Cortex-M: --probe; --method sample halts for each sample")
        }
        TraceError::NoLog { .. } => Some("QEMU's monitor has one: --qemu; --method sample, say, needs none"),
        TraceError::NoBreakpoints(_) => Some("--method sample needs none, nor does --method step"),
        TraceError::NoBlocks { .. } => {
            Some("give the ELF with its symbols, or choose --method sample or step")
        }
        TraceError::Link(error) => super::for_link(error),
        TraceError::Log { .. } | TraceError::TooLarge { .. } | TraceError::NoCounter { .. } => None,
    }
}

pub(super) fn for_plugin(error: &TraceRunError) -> Option<&'static str> {
    match error {
        TraceRunError::NoPlugin { .. } => Some(
            "cargo build -p covtap-qemu-plugin makes it; --plugin, or COVTAP_QEMU_PLUGIN, names one that is elsewhere",
        ),
        TraceRunError::Plugin { .. } => {
            Some("a QEMU with plugins, of release 9.0 or later, traces; was it built with --enable-plugins?")
        }
        _ => None,
    }
}
