//! The link itself: reads copy, events look whether the process is still there.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use covtap_link::{
    AddrRange, Effect, Link, LinkError, LinkInfo, MappedFile, MappedFiles, Operation, ReadMemory, ReadReport,
    ReadRequest, TargetAddr, TargetEvent, TargetEvents,
};
use procfs::ProcError;
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};

use crate::family;
use crate::memory::{CopyError, ProcessMemory};
use crate::program::Program;
use crate::refusal;

/// How bytes are fetched.
#[derive(Debug)]
enum Way {
    /// `process_vm_readv`.
    Call,
    /// `/proc/PID/mem`, because of the first way's refusal.
    File(File, String),
}

/// A process of this host, read while it runs.
#[derive(Debug)]
pub struct ProcessLink {
    endpoint: String,
    memory: ProcessMemory,
    way: Way,
    program: Program,
    has_told_end: bool,
}

impl ProcessLink {
    /// Opens a process, finds out how it can be read, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`LinkError::Connect`] if there is no such process or it has ended; [`LinkError::NotPermitted`] if the host does
    /// not let it be read; [`LinkError::Unsupported`] if it has no memory of its own.
    pub fn attach(pid: i32) -> Result<Self, LinkError> {
        let endpoint = format!("process {pid}");
        let opened = ProcessMemory::open(pid)
            .map_err(|source| LinkError::Connect { endpoint: endpoint.clone(), source })?;
        let (way, program) = Self::look(&opened).map_err(|error| match error {
            CopyError::Ended => {
                let source = io::Error::from(nix::errno::Errno::ESRCH);
                LinkError::Connect { endpoint: endpoint.clone(), source }
            }
            error => during(error, Operation::Attach, &endpoint),
        })?;
        Ok(Self { endpoint, memory: opened, way, program, has_told_end: false })
    }

    /// Why memory is not read by the faster call.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<&str> {
        match &self.way {
            Way::Call => None,
            Way::File(_, reason) => Some(reason),
        }
    }

    /// The ids of other processes that run the same program and have it from each other: each has counters of its own,
    /// and one that was forked began with its parent's.
    #[must_use]
    pub fn family(&self) -> Vec<i32> {
        family::of(self.memory.pid())
    }

    /// The best way that the host allows.
    fn look(memory: &ProcessMemory) -> Result<(Way, Program), CopyError> {
        let maps = maps(memory)?;
        let Some(first) = maps.iter().find(|map| map.perms.contains(MMPermissions::READ)) else {
            let words = "it has no memory of its own, as threads of the kernel have none";
            return Err(CopyError::Unsupported(words.to_owned()));
        };
        let program = Program::of(memory.pid());
        match memory.copy([(first.address.0, &mut [0][..])]) {
            // Some mappings, of devices say, cannot be read by anybody; who asks for one may.
            Ok(()) | Err(CopyError::NotMapped { .. }) => Ok((Way::Call, program)),
            Err(refused @ (CopyError::NotPermitted(_) | CopyError::Unsupported(_))) => {
                match File::open(format!("/proc/{}/mem", memory.pid())) {
                    Ok(file) => Ok((Way::File(file, refused.to_string()), program)),
                    Err(_) => Err(refused),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn copy(&self, reads: &mut [ReadRequest<'_>]) -> Result<(), CopyError> {
        match &self.way {
            Way::Call => self.memory.copy(reads.iter_mut().map(|read| (read.addr.get(), &mut *read.buf))),
            Way::File(file, _) => {
                for read in reads {
                    let addr = read.addr.get();
                    file.read_exact_at(read.buf, addr).map_err(|error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => self.memory.without_memory(addr),
                        _ => CopyError::NotMapped { addr },
                    })?;
                }
                if self.memory.has_ended()? { Err(CopyError::Ended) } else { Ok(()) }
            }
        }
    }
}

/// What the process has in its memory.
fn maps(memory: &ProcessMemory) -> Result<Vec<MemoryMap>, CopyError> {
    let pid = memory.pid();
    let maps = Process::new(pid).and_then(|process| process.maps());
    // Only now is it sure whose they are.
    if memory.has_ended()? {
        return Err(CopyError::Ended);
    }
    match maps {
        Ok(maps) => Ok(maps.into_iter().collect()),
        Err(ProcError::PermissionDenied(_)) => {
            let error = io::Error::from(nix::errno::Errno::EACCES);
            Err(CopyError::NotPermitted(refusal::words(pid, "maps", &error)))
        }
        Err(ProcError::Io(error, _)) if refusal::is_refusal(&error) => {
            Err(CopyError::NotPermitted(refusal::words(pid, "maps", &error)))
        }
        Err(error) => Err(CopyError::Io(io::Error::other(format!("maps of process {pid}: {error}")))),
    }
}

fn during(error: CopyError, operation: Operation, endpoint: &str) -> LinkError {
    let endpoint = endpoint.to_owned();
    match error {
        CopyError::Ended => LinkError::Closed { operation, endpoint },
        CopyError::NotMapped { .. } => LinkError::Refused { operation, endpoint, reason: error.to_string() },
        CopyError::NotPermitted(reason) => LinkError::NotPermitted { operation, endpoint, reason },
        CopyError::Unsupported(reason) => LinkError::Unsupported { operation, endpoint, reason },
        CopyError::Io(source) => LinkError::Io { operation, endpoint, source },
    }
}

impl ReadMemory for ProcessLink {
    fn read_many(&mut self, reads: &mut [ReadRequest<'_>]) -> Result<ReadReport, LinkError> {
        let started = Instant::now();
        self.copy(reads).map_err(|error| {
            let addr = reads.first().map_or(TargetAddr::new(0), |read| read.addr);
            let len_bytes = reads.iter().map(|read| read.buf.len() as u64).sum();
            during(error, Operation::Read { addr, len_bytes }, &self.endpoint)
        })?;
        Ok(ReadReport { elapsed: started.elapsed(), pause: Duration::ZERO })
    }
}

impl MappedFiles for ProcessLink {
    fn files(&mut self) -> Result<Vec<MappedFile>, LinkError> {
        let operation = Operation::Command("maps".to_owned());
        let maps = maps(&self.memory).map_err(|error| during(error, operation, &self.endpoint))?;
        let files = maps.into_iter().filter_map(|map| {
            let (start, end) = map.address;
            let MMapPath::Path(path) = map.pathname else { return None };
            let range = AddrRange::new(TargetAddr::new(start), end.checked_sub(start)?)?;
            Some(MappedFile { range, file_offset: map.offset, path: path.as_os_str().as_bytes().to_vec() })
        });
        Ok(files.collect())
    }
}

impl TargetEvents for ProcessLink {
    fn poll(&mut self) -> Result<Option<TargetEvent>, LinkError> {
        if self.has_told_end {
            return Ok(None);
        }
        let operation = || Operation::Command("poll".to_owned());
        self.has_told_end =
            self.memory.has_ended().map_err(|error| during(error, operation(), &self.endpoint))?;
        Ok(self.has_told_end.then_some(TargetEvent::Exited))
    }

    /// Only the end is told, after which there is nothing to be read, however soon it is known. Each look takes processor
    /// time that the process may want.
    fn look_every(&self) -> Duration {
        Duration::from_millis(100)
    }
}

impl Link for ProcessLink {
    fn info(&self) -> LinkInfo {
        let way = match &self.way {
            Way::Call => "process_vm_readv",
            Way::File(..) => "/proc/PID/mem",
        };
        LinkInfo {
            endpoint: self.endpoint.clone(),
            server: way.to_owned(),
            architecture: self.program.architecture().map(str::to_owned),
            endianness: self.program.endianness,
            pointer_width: self.program.pointer_width,
            effect: Effect::Free,
            attach_pause: Duration::ZERO,
        }
    }

    fn detach(&mut self) -> Result<Duration, LinkError> {
        Ok(Duration::ZERO)
    }

    fn mapped_files(&mut self) -> Option<&mut dyn MappedFiles> {
        Some(self)
    }

    fn events(&mut self) -> Option<&mut dyn TargetEvents> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that waits, and ends with its handle.
    struct Waiting(Child);

    impl Waiting {
        fn start() -> Self {
            Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("start cat"))
        }

        fn attach(&self) -> Result<ProcessLink, LinkError> {
            ProcessLink::attach(i32::try_from(self.0.id()).expect("a process id"))
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn own() -> ProcessLink {
        ProcessLink::attach(i32::try_from(std::process::id()).expect("an id")).expect("attach")
    }

    #[test]
    fn a_program_is_mapped_where_its_header_is_read() {
        let mut link = own();
        let exe = std::env::current_exe().expect("this program");
        let files = link.files().expect("its maps");
        let first = files.iter().find(|file| file.path == exe.as_os_str().as_bytes()).expect("the program");
        assert_eq!(first.file_offset, 0);
        let mut magic = [0; 4];
        let report = link.read(first.range.start(), &mut magic).expect("its header");
        assert_eq!((&magic, report.pause), (b"\x7fELF", Duration::ZERO));
    }

    #[test]
    fn the_file_serves_where_the_call_is_refused() {
        let bytes = [7u8; 16];
        let mut link = own();
        link.way = Way::File(File::open("/proc/self/mem").expect("own memory"), "refused".to_owned());
        let mut buf = [0; 16];
        link.read(TargetAddr::new(bytes.as_ptr().addr() as u64), &mut buf).expect("own memory");
        assert_eq!((buf, link.fallback_reason()), (bytes, Some("refused")));
        let error = link.read(TargetAddr::new(0x10), &mut buf).expect_err("not mapped");
        assert!(error.to_string().ends_with("nothing is mapped at 0x10") && !error.is_fatal(), "{error}");
    }

    #[test]
    fn an_end_is_told_once_and_read_as_one() {
        let mut child = Waiting::start();
        let mut link = child.attach().expect("attach");
        assert_eq!(link.poll().expect("no end yet"), None);
        child.0.kill().expect("kill");
        // A process that nobody has waited for has ended all the same.
        while !link.memory.has_ended().expect("poll") {
            std::thread::yield_now();
        }
        let at = TargetAddr::new(0x1000);
        assert!(matches!(link.read(at, &mut [0]), Err(LinkError::Closed { .. })));
        assert_eq!(link.poll().expect("the end"), Some(TargetEvent::Exited));
        assert_eq!(link.poll().expect("no more"), None);
        assert!(matches!(child.attach(), Err(LinkError::Connect { .. })));
        child.0.wait().expect("wait");
        assert!(matches!(child.attach(), Err(LinkError::Connect { .. })));
    }

    #[test]
    fn what_is_no_process_is_refused() {
        for pid in [0, -1, i32::MAX] {
            assert!(matches!(ProcessLink::attach(pid), Err(LinkError::Connect { .. })), "{pid}");
        }
    }
}
