//! A file without a name, in memory, that QEMU writes and this process reads.
//!
//! What always holds: nothing of it is on a disk, and it is gone when both sides have closed it, however they ended.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::qmp::{Client, Command, Socket};

/// Such a file.
#[derive(Debug)]
pub(crate) struct HandedFile {
    file: File,
    path: String,
    /// Where QEMU keeps the descriptor that it was given.
    fdset: Option<i64>,
}

impl HandedFile {
    /// Makes one and gives QEMU its descriptor, by which QEMU opens it whoever it runs as and whatever folders it sees.
    pub(crate) fn hand_over(client: &mut Client, name: &str) -> Result<Self, Failure> {
        if matches!(client.socket(), Socket::Tcp(_)) {
            return Err(Failure::Unsupported("a descriptor cannot be handed over TCP".to_owned()));
        }
        let fd = Self::create(name)?;
        let told = client.execute_with_fd(&Command::new("add-fd", json!({})), fd.as_fd())?;
        let number = |key| told.get(key).and_then(Value::as_i64);
        let (Some(fdset), Some(number)) = (number("fdset-id"), number("fd")) else {
            return Err(Failure::Protocol("add-fd: no descriptor in its answer".to_owned()));
        };
        Ok(Self { file: fd.into(), path: format!("/proc/self/fd/{number}"), fdset: Some(fdset) })
    }

    /// Makes one that QEMU opens among this process's descriptors: it has to be on this host, as this user or root.
    pub(crate) fn show(name: &str) -> Result<Self, Failure> {
        let fd = Self::create(name)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        Ok(Self { file: fd.into(), path, fdset: None })
    }

    fn create(name: &str) -> Result<OwnedFd, Failure> {
        memfd_create(name, MemfdFlags::CLOEXEC)
            .map_err(|error| Failure::Unsupported(format!("memfd_create: {error}")))
    }

    /// This process's side of it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// What QEMU opens.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Takes the descriptor back that QEMU was given. What it has opened by it stays open.
    pub(crate) fn take_back(&self, client: &mut Client) -> Result<(), Failure> {
        match self.fdset {
            Some(fdset) => client.execute(&Command::new("remove-fd", json!({ "fdset-id": fdset }))).map(drop),
            None => Ok(()),
        }
    }
}
