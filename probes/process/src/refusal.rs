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

/// Who it was, by what this host says of the process and of itself.
fn reason(pid: i32) -> Option<String> {
    // Readable for everybody.
    let status = Process::new(pid).and_then(|process| process.status()).ok();
    let theirs = status.map(|status| [status.ruid, status.euid, status.suid]);
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
    refused_by(nix::unistd::geteuid().as_raw(), theirs, scope.as_deref())
}

/// Linux asks in this order: the users, whether the process keeps itself to itself, security modules, of which Yama is
/// the one that most hosts have.
fn refused_by(ours: u32, theirs: Option<[u32; 3]>, yama_scope: Option<&str>) -> Option<String> {
    let other = theirs.filter(|_| ours != 0).and_then(|theirs| theirs.into_iter().find(|id| *id != ours));
    if let Some(other) = other {
        return Some(format!("it runs as user {other}, covtap as user {ours}"));
    }
    let scope = yama_scope?.trim();
    let who = match scope {
        "0" => return None,
        "1" => ": only those that started it may read it",
        "2" => ": only CAP_SYS_PTRACE may read it",
        "3" => ": nobody may read it until the host is booted anew",
        _ => "",
    };
    Some(format!("kernel.yama.ptrace_scope is {scope}{who}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_is_told_by_what_linux_asks_first() {
        let ours = Some([1000; 3]);
        let cases = [
            (1000, Some([1000, 0, 0]), Some("1\n"), Some("it runs as user 0, covtap as user 1000")),
            (
                1000,
                ours,
                Some("1\n"),
                Some("kernel.yama.ptrace_scope is 1: only those that started it may read it"),
            ),
            (1000, ours, Some("2\n"), Some("kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may read it")),
            (1000, ours, Some("7\n"), Some("kernel.yama.ptrace_scope is 7")),
            (
                0,
                ours,
                Some("1\n"),
                Some("kernel.yama.ptrace_scope is 1: only those that started it may read it"),
            ),
            (
                1000,
                None,
                Some("3\n"),
                Some("kernel.yama.ptrace_scope is 3: nobody may read it until the host is booted anew"),
            ),
            (1000, ours, Some("0\n"), None),
            (1000, ours, None, None),
        ];
        for (user, theirs, scope, expected) in cases {
            assert_eq!(refused_by(user, theirs, scope).as_deref(), expected, "{user} {theirs:?} {scope:?}");
        }
    }
}
