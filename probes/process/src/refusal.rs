//! Who refuses to let a process be read, in words.

use std::io;

use procfs::process::Process;

/// `what` of process `pid` was refused with `error`: by whom, as far as can be told.
pub(crate) fn words(pid: i32, what: &str, error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let by = if is_refusal(error) { reason(pid).map(|reason| format!(" ({reason})")) } else { None };
    format!("{what} of process {pid}: {text}{}", by.unwrap_or_default())
}

/// Whether it is about permission.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Linux asks in this order: the users, whether the process keeps itself to itself, security modules, of which Yama is
/// the one that most hosts have.
fn reason(pid: i32) -> Option<String> {
    let ours = nix::unistd::geteuid().as_raw();
    // Readable for everybody.
    let status = Process::new(pid).and_then(|process| process.status()).ok();
    if let Some(status) = status.filter(|_| ours != 0) {
        let theirs = [status.ruid, status.euid, status.suid];
        if let Some(other) = theirs.iter().find(|theirs| **theirs != ours) {
            return Some(format!("it runs as user {other}, covtap as user {ours}"));
        }
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    let scope = scope.trim();
    (scope != "0").then(|| format!("kernel.yama.ptrace_scope is {scope}"))
}
