//! What helps where a trace and programs do not go together.

use crate::cli::traces::TraceReportError;
use crate::coverage::trace::TracedImageError;

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
