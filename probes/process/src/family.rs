//! Which other processes run the same program because one of them made the others: a server and its workers.
//!
//! What always holds: a process is of the family only if every process between it and the family's eldest runs that
//! program too; what cannot be looked at (it has ended, or belongs to somebody else) is not of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use procfs::process::all_processes;

/// A process, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Member {
    parent: i32,
    /// Device and inode of its program.
    program: (u64, u64),
}

/// The ids of the other processes of the family of `pid`, in order.
pub(crate) fn of(pid: i32) -> Vec<i32> {
    let Some(program) = program_of(pid) else { return Vec::new() };
    let members = all_processes().into_iter().flatten().flatten().filter_map(|process| {
        let member = Member { parent: process.stat().ok()?.ppid, program: program_of(process.pid())? };
        (member.program == program).then_some((process.pid(), member))
    });
    others(pid, &members.collect())
}

fn program_of(pid: i32) -> Option<(u64, u64)> {
    let metadata = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The family of `pid` among processes that all run its program.
fn others(pid: i32, members: &BTreeMap<i32, Member>) -> Vec<i32> {
    let eldest = eldest_of(pid, members);
    let family =
        members.keys().copied().filter(|other| *other != pid && eldest_of(*other, members) == eldest);
    family.collect()
}

/// The one that has no parent among `members`. Processes change while they are listed: a circle has an end as well.
fn eldest_of(pid: i32, members: &BTreeMap<i32, Member>) -> i32 {
    let mut eldest = pid;
    for _ in members {
        match members.get(&eldest).map(|member| member.parent) {
            Some(parent) if members.contains_key(&parent) => eldest = parent,
            _ => break,
        }
    }
    eldest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(pairs: &[(i32, i32)]) -> BTreeMap<i32, Member> {
        pairs.iter().map(|(pid, parent)| (*pid, Member { parent: *parent, program: (1, 2) })).collect()
    }

    #[test]
    fn a_master_and_its_workers_are_one_family() {
        let members = members(&[(10, 1), (11, 10), (12, 10), (13, 11), (20, 1), (21, 20)]);
        assert_eq!(others(10, &members), [11, 12, 13]);
        assert_eq!(others(12, &members), [10, 11, 13]);
        assert_eq!(others(20, &members), [21]);
        assert_eq!(others(99, &members), [] as [i32; 0]);
    }

    #[test]
    fn a_circle_ends() {
        let members = members(&[(10, 11), (11, 10)]);
        let _ = others(10, &members);
    }
}
