//! What a user can do next about an error. Libraries say what happened; only here is said what helps.

mod control;
#[cfg(feature = "probe")]
mod probe;
mod run;
mod trace;

use std::borrow::Cow;
use std::error::Error;
use std::io::ErrorKind;

use covtap_link::{LinkError, Operation};
use covtap_memory_image::DumpError;
use covtap_qemu::LaunchError;

use super::by_test::ByTestError;
use super::formats::NoRegions;
use super::gcda::{InTheWay, SameFile};
use super::notes::NotesFileError;
use super::output::OtherKind;
use super::programs::SamePlace;
use super::report::ReportError;
use super::run::TimedOut;
use super::tap::Unbelievable;
use super::test_dir::TestsExist;
use crate::collect::find_image::FindError;
use crate::collect::{CallError, CollectError};
use crate::coverage::{FindFileError, MappingError};
use crate::inspect::Finding;
use crate::locate;
use crate::locate::frozen::{Frozen, FrozenUnits};
use crate::locate::gcov::{self, GcovError};
use crate::locate::llvm::{Caution, LocateError};
use crate::profile::test_index::TestIndexError;
use crate::write::gcda_path::GcdaPathError;
use crate::write::profraw::ProfrawError;
use crate::write::{PoolError, WriteDirError, WriteFileError};

/// What to do about one kind of error: `None` if a cause is of another kind, or there is no next step.
type Hint = fn(&(dyn Error + 'static)) -> Option<&'static str>;

/// Every kind of error that there is a next step after.
const HINTS: &[Hint] = &[
    |cause| cause.downcast_ref().and_then(for_collect),
    #[cfg(feature = "probe")]
    |cause| cause.downcast_ref().map(probe::for_swo),
    |cause| cause.downcast_ref().and_then(for_link),
    |cause| cause.downcast_ref().and_then(for_call),
    |cause| cause.downcast_ref().and_then(for_launch),
    |cause| cause.downcast_ref().map(run::for_command),
    |cause| {
        cause.is::<TimedOut>().then_some("how far it came is in the profile; a longer --timeout waits longer")
    },
    |cause| cause.downcast_ref().and_then(trace::for_plugin),
    |cause| cause.downcast_ref().and_then(for_dump),
    |cause| cause.downcast_ref().and_then(for_locate),
    |cause| cause.downcast_ref().and_then(for_gcov),
    |cause| cause.downcast_ref().and_then(for_profraw),
    |cause| cause.downcast_ref().map(for_report),
    |cause| cause.downcast_ref().map(trace::for_trace),
    |cause| cause.downcast_ref().and_then(trace::for_image),
    |cause| cause.downcast_ref().map(for_by_test),
    |cause| cause.downcast_ref().map(for_find_file),
    |cause| cause.downcast_ref().map(for_test_index),
    |cause| cause.downcast_ref().and_then(for_notes),
    |cause| cause.downcast_ref().and_then(for_write_dir),
    |cause| cause.downcast_ref().and_then(for_write),
    |cause| {
        cause.is::<MappingError>().then_some(
            "build it with -Cinstrument-coverage (rustc) or -fcoverage-mapping (clang), and keep the \
             __llvm_covmap and __llvm_covfun sections in the file",
        )
    },
    |cause| {
        cause.is::<OtherKind>().then_some("put a %m into --output: each ELF has a profile of its own then")
    },
    |cause| {
        cause
            .is::<SamePlace>()
            .then_some("give each ELF once, with the slide of where it was loaded: ELF@SLIDE")
    },
    |cause| {
        cause.is::<InTheWay>().then_some(
            "move it away, choose another --gcda-dir, or replace what is there with --gcda-replace",
        )
    },
    |cause| cause.downcast_ref().and_then(control::for_server),
    |cause| cause.downcast_ref().and_then(control::for_client),
    |cause| cause.is::<TestsExist>().then_some("move it away, or choose another folder with --test-dir"),
    |cause| cause.is::<SameFile>().then_some("give each ELF a session and a --gcda-dir of its own"),
    |cause| cause.is::<GcdaPathError>().then_some("--gcda-strip leaves out leading directories"),
    |cause| {
        cause.is::<Unbelievable>().then_some(
            "does start-up code set the counters' memory to zero, and had it run? is the ELF where the target has it?",
        )
    },
    |cause| {
        cause
            .is::<NoRegions>()
            .then_some("--lcov and --cobertura write what gcov counts: lines, functions and branches")
    },
    |cause| cause.downcast_ref().and_then(for_pool),
    |cause| cause.downcast_ref().and_then(trace::for_import),
    |cause| cause.downcast_ref().and_then(trace::for_tracing),
];

/// The next step after `error`, if there is one.
#[must_use]
pub(super) fn for_error(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| HINTS.iter().find_map(|hint| hint(cause)))
}

/// What to do where only a halt lets memory be read.
const ALLOW_HALT: &str = "--allow-halt has it halted; the time it takes is measured and shown";

/// What to do about memory that is read through QEMU's monitor.
pub(super) const FOR_FALLBACK: &str = "hint: run covtap as the user that runs QEMU, with CAP_SYS_PTRACE or \
    kernel.yama.ptrace_scope=0, or give the guest a shared memory backend";

/// What a caution means for the profile.
#[must_use]
pub(super) fn for_caution(caution: &Caution) -> &'static str {
    match caution {
        Caution::ValueSitesNotRead => {
            "value profiles (call targets, sizes) are not read: only counts are written"
        }
        Caution::StoredAfterLoops => {
            "counts of loops that still run may be too low (IR-level counters in registers); -mllvm \
             -do-counter-promotion=false (clang) or -Cllvm-args=-do-counter-promotion=false (rustc) has each stored"
        }
        Caution::RelocatedAtRunTime => {
            "counters are read where the target moves them; what it counted before is lost unless it copies that, and a \
             function that runs meanwhile counts at the old place until it returns"
        }
        Caution::UnknownCounters => {
            "counters whose function is not known are left out: compile all of it with -g, which -profile-correlate=debug-info \
             needs"
        }
        Caution::UnknownBitmaps => {
            "MC/DC is left out: build it with -profile-correlate=binary, or without correlation"
        }
        Caution::AssumedVersion => {
            "a profile is written in version 10 of LLVM 19 to 22; --raw-version gives another"
        }
    }
}

/// What to do about a caution about gcov's counters, or what it means.
#[must_use]
pub(super) fn for_gcov_caution(caution: &gcov::Caution) -> &'static str {
    match caution {
        gcov::Caution::NewerVersion(_) => "compare a .gcda file with what gcov of that release reads",
        gcov::Caution::LeftOut { .. } | gcov::Caution::MoreLeftOut { .. } => {
            "no .gcda file is written for what is left out; the others are not affected"
        }
        gcov::Caution::WithoutTable { .. } => {
            "build those with -O0, or with -fprofile-instr-generate -fcoverage-mapping"
        }
    }
}

/// What to say about counts of loops before a target is read, if anything.
#[must_use]
pub(super) fn for_loops(frozen: &Frozen) -> Option<Cow<'static, str>> {
    match frozen {
        Frozen::No => None,
        Frozen::Maybe(units) => Some(format!("{units}; {}", for_frozen(units)).into()),
        Frozen::Unknown => Some(FOR_UNKNOWN_LOOPS.into()),
    }
}

/// What to do where the compiler's options are not recorded.
const FOR_UNKNOWN_LOOPS: &str = "if what GCC compiled is optimised, counts of loops may be in registers while they run: \
     -fno-tree-loop-im has each stored; with -g or -frecord-gcc-switches covtap can tell";

/// What to do where counts are lost.
pub(super) const FOR_LOST_COUNTS: &str = "build it with -fprofile-update=atomic (GCC, clang) or -C \
     llvm-args=-instrprof-atomic-counter-update-all (rustc)";

/// What has counts of loops stored.
fn for_frozen(units: &FrozenUnits) -> &'static str {
    if units.has_atomic_adds {
        "-fno-tree-loop-im has each stored, and so do -fprofile-update=atomic, -Og and -O0"
    } else {
        "-fno-tree-loop-im has each stored, and so do -Og and -O0"
    }
}

/// What to do about a finding of `inspect`, or what it means.
#[must_use]
pub(super) fn for_finding(finding: &Finding) -> Option<&'static str> {
    match finding {
        Finding::Locate(locate::Error::Llvm(error)) => for_locate(error),
        Finding::Locate(locate::Error::Gcov(error)) => for_gcov(error),
        Finding::Caution(caution) => Some(for_caution(caution)),
        Finding::GcovCaution(caution) => Some(for_gcov_caution(caution)),
        Finding::Frozen(units) => Some(for_frozen(units)),
        Finding::FrozenUnknown => Some(FOR_UNKNOWN_LOOPS),
        Finding::NoBuildId => Some("link it with --build-id=sha1, and place the note in read-only memory"),
        Finding::BuildIdNotLoaded => {
            Some("place .note.gnu.build-id in read-only memory in the linker script")
        }
        Finding::NoMapping => Some(
            "build it with -fprofile-instr-generate -fcoverage-mapping (clang) or -Cinstrument-coverage (rustc), and \
             keep __llvm_covmap and __llvm_covfun when linking",
        ),
        Finding::PositionIndependent => Some("give ELF@SLIDE to record and snapshot if the target moves it"),
        Finding::ValuesLoaded { .. } => Some("build it without value profiles: -mllvm -disable-vp (clang)"),
        Finding::MetadataLoaded { is_byte_coverage: true, .. } => Some(
            "link it with the (INFO) sections of the script that covtap inspect --linker-script prints; not with its \
             __llvm_prf_cnts, whose bytes must stay in the image",
        ),
        Finding::StructuresLoaded { .. } => Some(
            "compile it with -fprofile-info-section -fdata-sections (GCC 11 and later), and link it with the script that \
             covtap inspect --linker-script prints, before its own",
        ),
        Finding::CountersInImage { .. } | Finding::MetadataLoaded { .. } => {
            Some("link it with the script that covtap inspect --linker-script prints")
        }
    }
}

fn for_locate(error: &LocateError) -> Option<&'static str> {
    match error {
        LocateError::NotInstrumented { .. } => Some(
            "build it with -Cinstrument-coverage -Zno-profiler-runtime (rustc) or \
             -fprofile-instr-generate -fcoverage-mapping (clang), and keep the __llvm_prf_* sections when linking",
        ),
        LocateError::MappingOnly { .. } | LocateError::NoCounters { .. } | LocateError::NoNames { .. } => {
            Some(
                "the linker dropped __llvm_prf_* sections: keep __llvm_prf_cnts in memory, and __llvm_prf_data and \
             __llvm_prf_names at least in the file, as (INFO) sections",
            )
        }
        LocateError::NoData { .. } => Some(
            "give the ELF as it was before it was stripped; with -profile-correlate=debug-info, compile with -g, and \
             without that option the linker must keep __llvm_prf_data and __llvm_prf_names",
        ),
        LocateError::SplitDebugInfo { .. } => Some("build it without -gsplit-dwarf"),
        LocateError::NotInFile { .. } => {
            Some("do not strip its __llvm_prf_* sections; strip a copy for the target")
        }
        LocateError::ByteCountersNotInFile { .. } => Some(
            "place __llvm_prf_cnts where .data goes, so that start-up code copies its bytes; or build it without \
             -enable-single-byte-coverage",
        ),
        LocateError::Stripped { .. } => Some("give the ELF as it was before it was stripped"),
        LocateError::Relocatable { .. } => Some("give the linked ELF that the target runs"),
        LocateError::Gcov { .. } => Some(
            "its gcov_info structures are not in the file: with --gc-sections the linker script needs KEEP(*(.gcov_info)), as \
             the one has that covtap inspect --linker-script prints; if start-up code unpacks them, record and snapshot find them \
             in memory with --scan",
        ),
        _ => None,
    }
}

fn for_gcov(error: &GcovError) -> Option<&'static str> {
    match error {
        GcovError::Clang { .. } => Some(
            "with clang, -fprofile-instr-generate -fcoverage-mapping in place of --coverage can be read, or --coverage at -O0",
        ),
        GcovError::Relocatable { .. } => Some("give the linked ELF that the target runs"),
        GcovError::Object { .. } | GcovError::Overlap { .. } | GcovError::Implausible { .. } => {
            Some("is the ELF damaged, or did a newer GCC than covtap knows make it?")
        }
        GcovError::NotInstrumented { .. } => {
            Some("compile it with --coverage, and keep what GCC puts into .data when linking")
        }
        GcovError::NotInMemory { .. } => Some(
            "has its start-up code run? without the file's own gcov_info structures, the target must have them loaded",
        ),
        GcovError::NoRange { .. } => None,
    }
}

fn for_profraw(error: &ProfrawError) -> Option<&'static str> {
    match error {
        ProfrawError::NotInVersion { .. } => {
            Some("choose a newer --raw-version, or build the program without what it cannot hold")
        }
        ProfrawError::NoneByRuntime { .. } => {
            Some("leave out --runtime-identical: the profile says by itself what it counts then")
        }
        _ => None,
    }
}

fn for_write_dir(error: &WriteDirError) -> Option<&'static str> {
    match error {
        WriteDirError::NotOurs { .. } => {
            Some("choose a directory that is not there yet, or one that covtap wrote")
        }
        _ => None,
    }
}

fn for_report(error: &ReportError) -> &'static str {
    match error {
        ReportError::NoElf => "give the ELF that was instrumented: it says which lines the counters count",
        ReportError::NoProfile => "give a profile: covtap record or covtap snapshot makes them",
        ReportError::OtherProgram { .. } => "give the ELF that the profile is of",
        ReportError::TraceAndProfile => "make a report of each",
    }
}

fn for_by_test(error: &ByTestError) -> &'static str {
    match error {
        ByTestError::NoTests { .. } => {
            "no test was begun and ended in the session: does the target label its tests?"
        }
        ByTestError::Outside { .. } | ByTestError::NotAFile { .. } | ByTestError::NotAFolder { .. } => {
            "give a folder as --test-dir of a session wrote it, with all that it wrote there"
        }
        ByTestError::OtherProgram { .. } => "give the ELF that the tests ran",
        ByTestError::OfNoTest { .. } => {
            "give programs and notes (.gcno) alone: the folder of tests has the counts"
        }
    }
}

fn for_find_file(error: &FindFileError) -> &'static str {
    match error {
        FindFileError::Nowhere { .. } => "give a path as the reports have it, or whole components at its end",
        FindFileError::Several { .. } => "give more of the path",
    }
}

fn for_test_index(error: &TestIndexError) -> &'static str {
    if error.is_other_version() {
        "read it with a covtap at least as new as the one that wrote it"
    } else {
        "give a folder as --test-dir of a session wrote it"
    }
}

fn for_notes(error: &NotesFileError) -> Option<&'static str> {
    match error {
        NotesFileError::OtherCompile { .. } => Some(
            "give the .gcno files of the compile that ran: GCC writes them beside the objects, anew each time",
        ),
        NotesFileError::Nowhere { .. } => {
            Some("give the folder that GCC wrote the .gcno files to, beside the objects")
        }
        NotesFileError::Several { .. } => Some("give the one that belongs to it"),
        NotesFileError::File { .. } | NotesFileError::Content { .. } => None,
    }
}

fn for_collect(error: &CollectError) -> Option<&'static str> {
    match error {
        CollectError::Link(error) => for_link(error),
        CollectError::Find(error) => for_find(error),
        CollectError::Call(error) => for_call(error),
        CollectError::NoHold { .. } => Some(
            "with --gdb, name the function that resets the target: --snapshot-on-reset=FUNCTION; QEMU holds its guest with --qemu",
        ),
        CollectError::WrongImage { .. } => {
            Some("give the ELF that the target runs, or ELF@SLIDE if it was moved; --force goes on anyway")
        }
        CollectError::WouldHalt { .. } => Some(ALLOW_HALT),
        CollectError::Misplaced { .. } => {
            Some("does the target run this ELF, and has its start-up code run?")
        }
        CollectError::NeverAtRest { .. } => Some("start covtap again when the target has started up"),
        CollectError::TooLarge { .. } | CollectError::TooMuchMemory { .. } => Some("is the ELF damaged?"),
    }
}

fn for_call(error: &CallError) -> Option<&'static str> {
    Some(match error {
        CallError::NoTests { .. } => "say with --test-dir where their profiles go",
        CallError::NoControl { wanted, .. } if wanted.is_before_reset() => {
            "reach the target through a GDB server, with --gdb; with --qemu, --snapshot-on-reset takes no function"
        }
        CallError::NoControl { .. } => {
            "reach the target through a GDB server, with --gdb; or begin its tests with covtap ctl"
        }
        CallError::NoSymbol { .. } => {
            "give its name as the linker has it, which nm shows; was it inlined, or the ELF stripped?"
        }
        CallError::Several { .. } => "give it a name of its own",
        CallError::NoArgument { .. } => "pass the name as the first argument",
        CallError::NoAbi { .. } => return None,
    })
}

fn for_find(error: &FindError) -> Option<&'static str> {
    match error {
        FindError::Nameless { .. } => {
            Some("link it with --build-id=sha1, and place the note in loaded memory")
        }
        FindError::Nowhere { .. } => Some("does the target run this very build, and has it been loaded yet?"),
        FindError::LeftBehind { .. } => Some("has it been loaded since, and is it this very build?"),
        FindError::OnlyCopies { .. } => Some(
            "has it been loaded yet, and is it this very build? ELF@SLIDE with --find-image says how far its physical addresses are from those in the ELF",
        ),
        FindError::NotMapped { .. } => Some(
            "give the ELF that it runs, stripped or not, once it has loaded it; ELF@SLIDE says where one is that is not mapped \
             as a file",
        ),
        FindError::Ambiguous { .. } => Some(
            "give one of the slides: ELF@SLIDE with --find-image, or without it if it was not searched for",
        ),
    }
}

fn for_dump(error: &DumpError) -> Option<&'static str> {
    match error {
        DumpError::OtherKind { .. } => Some(
            "QEMU's dump-guest-memory writes an ELF core without -z, -l, -s, -R and -w; what is compressed has to be unpacked \
             first; raw memory is for --memory FILE@ADDR",
        ),
        DumpError::Overlap { .. } => Some("give each range once"),
        _ => None,
    }
}

fn for_link(error: &LinkError) -> Option<&'static str> {
    #[cfg(feature = "probe")]
    if let Some(hint) = probe::for_link(error) {
        return Some(hint);
    }
    match error {
        LinkError::Connect { source, .. } if source.raw_os_error() == Some(nix::libc::ESRCH) => {
            Some("give the id of a process that runs")
        }
        LinkError::NotPermitted { operation: Operation::Attach, .. } => Some(
            "run covtap as the user that runs the process, with kernel.yama.ptrace_scope=0, or with CAP_SYS_PTRACE",
        ),
        LinkError::NotThere { .. } => Some(
            "dump that range too: with QEMU's pmemsave as one more --memory FILE@ADDR, or all of the memory; what a process's \
             core has, /proc/PID/coredump_filter says",
        ),
        LinkError::Connect { .. } => Some(
            "is the target up, and does it listen there? QEMU does with -qmp unix:PATH,server=on,wait=off (for --qemu) or -gdb tcp::PORT (for --gdb)",
        ),
        LinkError::Timeout { operation: Operation::Handshake, .. } => Some(
            "most servers take one client at a time: is another one connected? --reply-timeout waits longer",
        ),
        LinkError::Timeout { .. } => Some("--reply-timeout waits longer"),
        LinkError::Closed { .. } => Some("has the target ended? start covtap again once it is back"),
        LinkError::NotPermitted { .. } => Some(
            "run covtap as the user that runs the target, with CAP_SYS_PTRACE or kernel.yama.ptrace_scope=0; or use another --qemu-method",
        ),
        LinkError::Protocol { operation: Operation::Handshake, .. } => {
            Some("is this the right socket? --qemu wants a QMP monitor, --gdb a GDB remote server")
        }
        _ => None,
    }
}

fn for_launch(error: &LaunchError) -> Option<&'static str> {
    match error {
        LaunchError::Start { source, .. } if source.kind() == ErrorKind::NotFound => Some(
            "is it installed, and in PATH? what follows -- is a program and its arguments, not a line for a shell",
        ),
        LaunchError::Ended { .. } => Some(
            "what it printed says why; run what follows -- by itself, and see whether it is a QEMU that starts",
        ),
        LaunchError::Silent { .. } => Some(
            "is it a QEMU, or a script that hands its arguments on to one (exec qemu-system-... \"$@\")? one that waits for \
             a client, as a chardev with server=on does, needs wait=off; --connect-timeout waits longer",
        ),
        LaunchError::Link(error) => for_link(error),
        _ => None,
    }
}

fn for_pool(error: &PoolError) -> Option<&'static str> {
    match error {
        PoolError::File(error) => for_write(error),
        PoolError::Other { .. } => Some("move it away, or choose another name with --output"),
    }
}

fn for_write(error: &WriteFileError) -> Option<&'static str> {
    match error.source.kind() {
        ErrorKind::NotFound => Some("make its folder first, or choose another one"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::IsADirectory => {
            Some("choose another file")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("what was written before is untouched; make room, or choose another disk")
        }
        _ => None,
    }
}
