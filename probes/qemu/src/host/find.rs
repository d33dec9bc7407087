//! Finds the process that serves a monitor's connection.
//!
//! `SO_PEERCRED` names who called `listen`: with a socket that was bound beforehand and handed over, as libvirt
//! does it, that is not QEMU. So the sockets themselves are looked for in all processes' descriptors too: the
//! ones bound to the same path, or the other end of the TCP connection.
//!
//! What leaves is candidates, the likeliest first. That one of them really holds the guest's memory is for the
//! caller to prove.

use std::net::SocketAddr;
use std::path::Path;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use procfs::process::{FDTarget, Process, all_processes};

use crate::qmp::Socket;

/// Processes that may be the QEMU at the other end, and what is to be said if none is.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Candidates {
    /// Process ids, without repetition.
    pub(crate) pids: Vec<i32>,
    /// Why there are not more.
    pub(crate) searched: String,
}

/// Looks for the process at the other end of `socket`.
pub(crate) fn candidates(socket: &Socket) -> Candidates {
    match socket {
        Socket::Unix(stream) => {
            // A peer in another pid namespace has the id 0 here.
            let peer = getsockopt(stream, PeerCredentials).ok();
            let listener = peer.map(|peer| peer.pid()).filter(|pid| *pid > 0);
            let path = stream.peer_addr().ok().and_then(|addr| addr.as_pathname().map(Path::to_path_buf));
            let inodes = path.map(|path| unix_inodes(&path)).unwrap_or_default();
            gather(listener, &inodes, "the monitor's socket")
        }
        Socket::Tcp(stream) => match (stream.local_addr(), stream.peer_addr()) {
            (Ok(ours), Ok(theirs)) => {
                let inodes = tcp_inodes(ours, theirs);
                if inodes.is_empty() {
                    let searched = format!("no socket of this host is {theirs}: QEMU runs on another one");
                    return Candidates { pids: Vec::new(), searched };
                }
                gather(None, &inodes, "the monitor's connection")
            }
            _ => Candidates { pids: Vec::new(), searched: "the connection has no addresses".to_owned() },
        },
    }
}

/// Looks for the processes that hold the socket with this inode, which was handed to `child`.
pub(crate) fn holders_of(child: i32, inode: u64) -> Candidates {
    gather(Some(child), &[inode], "the monitor's socket")
}

/// Inodes of all sockets bound to `path`: the listening one and its connections' far ends.
fn unix_inodes(path: &Path) -> Vec<u64> {
    let entries = procfs::net::unix().unwrap_or_default();
    entries.into_iter().filter(|entry| entry.path.as_deref() == Some(path)).map(|entry| entry.inode).collect()
}

/// The inode of the socket that has the connection's addresses the other way round.
fn tcp_inodes(ours: SocketAddr, theirs: SocketAddr) -> Vec<u64> {
    let same =
        |a: SocketAddr, b: SocketAddr| a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical();
    let v4 = procfs::net::tcp().unwrap_or_default();
    let v6 = procfs::net::tcp6().unwrap_or_default();
    let ends = v4.into_iter().chain(v6);
    ends.filter(|end| same(end.local_address, theirs) && same(end.remote_address, ours) && end.inode != 0)
        .map(|end| end.inode)
        .collect()
}

fn gather(listener: Option<i32>, inodes: &[u64], what: &str) -> Candidates {
    let (mut pids, unreadable) = holders(inodes);
    pids.extend(listener.filter(|pid| !pids.contains(pid)));
    // This process may hold a socket of the same path itself, having bound it.
    let own = i32::try_from(std::process::id()).ok();
    pids.retain(|pid| Some(*pid) != own);
    pids.sort_by_key(|pid| !looks_like_qemu(*pid));
    let mut searched = format!("no process of this host was seen to hold {what}");
    if unreadable > 0 {
        searched.push_str(&format!(", and {unreadable} processes of other users could not be looked into"));
    }
    Candidates { pids, searched }
}

/// Processes with a descriptor of one of the sockets, and how many could not be looked into.
fn holders(inodes: &[u64]) -> (Vec<i32>, usize) {
    let mut found = Vec::new();
    let mut unreadable = 0;
    if inodes.is_empty() {
        return (found, unreadable);
    }
    for process in all_processes().into_iter().flatten().flatten() {
        match process.fd() {
            Ok(mut fds) => {
                let holds = fds.any(|fd| {
                    matches!(fd.map(|fd| fd.target), Ok(FDTarget::Socket(inode)) if inodes.contains(&inode))
                });
                found.extend(holds.then_some(process.pid()));
            }
            Err(procfs::ProcError::PermissionDenied(_)) => unreadable += 1,
            // Ended meanwhile.
            Err(_) => {}
        }
    }
    (found, unreadable)
}

/// Whether a process's program has QEMU in its name: only an order in which to try, never a proof.
fn looks_like_qemu(pid: i32) -> bool {
    let named =
        |text: &str| Path::new(text).file_name().is_some_and(|n| n.to_string_lossy().contains("qemu"));
    Process::new(pid)
        .and_then(|process| process.cmdline())
        .is_ok_and(|words| words.first().is_some_and(|w| named(w)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ends_of_a_connection_of_this_process_are_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let near = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (far, _) = listener.accept().expect("accept");
        let inodes = tcp_inodes(near.local_addr().expect("near"), far.local_addr().expect("far"));
        assert_eq!(inodes.len(), 1);
        let own = i32::try_from(std::process::id()).expect("a process id");
        assert!(holders(&inodes).0.contains(&own));
        let found = candidates(&Socket::Tcp(near));
        // A child that another test starts holds the same sockets until it executes its program.
        assert!(!found.pids.contains(&own));
        assert!(found.searched.contains("no process of this host"), "{}", found.searched);
    }
}
